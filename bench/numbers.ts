/** The value in the middle; of an even number of them the mean of the two. `NaN` for none. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = Number.NaN, high = low] = [sorted.at((sorted.length - 1) / 2), sorted.at(sorted.length / 2)];
  return (low + high) / 2;
};

/** The smallest value that `share` (0 to 1) of all do not exceed; `sorted` ascends. */
export const quantile = (sorted: ArrayLike<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;

/** Two digits after the point where they mean something, none where they don't. */
export const digits = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 10 ? 1 : 2);

/** The least and the most, so that a reader sees how far to trust the median. */
export const spread = (values: readonly number[]): string =>
  `${digits(Math.min(...values))}–${digits(Math.max(...values))}`;

const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;

/**
 * All that the children of tests inherit; `HOME` can be overwritten. Node's compile cache only makes them start
 * sooner: the same programs are started hundreds of times.
 */
export const INHERITED = {
  ...(PATH !== undefined && { PATH }),
  ...(HOME !== undefined && { HOME }),
  ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
};

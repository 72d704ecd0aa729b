/** What a variable or an output of an activity can hold; `null` stands for none. */
export type Value = string | number | Readonly<Record<string, unknown>> | null;
/** Throws for a name that the flow does not know. */
export type Values = (name: string) => Value;

/** The flow's own mistake, which Flow Designer would show when it is saved: no exit leads out of it. */
export class FlowMistake extends Error {
  override name = "FlowMistake";
}

/** The text with each `{{ expression }}` replaced by its value. */
export function render(template: string, values: Values): string {
  return template.replace(/\{\{(.*?)\}\}/g, (_, expression: string) =>
    textOf(evaluate(expression, values), template),
  );
}

/** Whether a condition holds: nothing but one expression, and that a yes or a no. */
export function holds(template: string, values: Values): boolean {
  const [, expression] = /^\s*\{\{([^{}]*)\}\}\s*$/.exec(template) ?? [];
  const result = expression === undefined ? undefined : evaluate(expression, values);
  if (typeof result !== "boolean") throw new FlowMistake(`"${template}" is neither true nor false`);
  return result;
}

/** The part of Pebble that the flows use: sums, comparisons, `is empty`, `is not empty`. */
function evaluate(expression: string, values: Values): Value | boolean {
  const tokens = tokensOf(expression);
  const take = () => tokens.shift();
  const operand = (): Value => {
    const token = take() ?? "";
    if (/^\d+$/.test(token)) return Number(token);
    if (token.startsWith('"')) return token.slice(1, -1);
    if (/^[A-Za-z_]/.test(token)) return values(token);
    throw new FlowMistake(`"${expression}": a value is missing before "${token}"`);
  };
  const sum = (): Value => {
    let total = operand();
    while (tokens[0] === "+") {
      take();
      total = plus(total, operand(), expression);
    }
    return total;
  };
  const left = sum();
  const operator = take();
  if (operator === undefined) return left;
  const result =
    operator === "is" ? isEmpty(left, tokens, expression) : compare(left, operator, sum(), expression);
  if (tokens.length > 0) throw new FlowMistake(`"${expression}": "${tokens.join(" ")}" is too much`);
  return result;
}

function tokensOf(expression: string): string[] {
  const token = /\s*(\d+|"[^"]*"|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?|==|!=|>=|<=|>|<|\+)\s*/y;
  const tokens: string[] = [];
  while (token.lastIndex < expression.length) {
    const [, found] = token.exec(expression) ?? [];
    if (found === undefined) throw new FlowMistake(`"${expression}" holds what is not known here`);
    tokens.push(found);
  }
  return tokens;
}

function plus(left: Value, right: Value, expression: string): number {
  if (typeof left === "number" && typeof right === "number") return left + right;
  throw new FlowMistake(`"${expression}" adds what are no numbers`);
}

function isEmpty(value: Value, tokens: string[], expression: string): boolean {
  const not = tokens[0] === "not";
  if (not) tokens.shift();
  if (tokens.shift() !== "empty") throw new FlowMistake(`"${expression}" asks what is not known here`);
  return (value === null || value === "") !== not;
}

const ORDERS: Record<string, (left: number, right: number) => boolean> = {
  ">": (left, right) => left > right,
  "<": (left, right) => left < right,
  ">=": (left, right) => left >= right,
  "<=": (left, right) => left <= right,
};

/** As Pebble does: nothing is more or less than none. Numbers and texts are not compared: they are never equal. */
function compare(left: Value, operator: string, right: Value, expression: string): boolean {
  if (left !== null && right !== null && typeof left !== typeof right)
    throw new FlowMistake(`"${expression}" compares a ${typeof left} with a ${typeof right}`);
  if (operator === "==") return left === right;
  if (operator === "!=") return left !== right;
  const order = ORDERS[operator];
  if (order === undefined) throw new FlowMistake(`"${expression}": "${operator}" is no comparison`);
  return typeof left === "number" && typeof right === "number" && order(left, right);
}

function textOf(value: Value | boolean, template: string): string {
  if (value === null) return "";
  if (typeof value === "object") throw new FlowMistake(`"${template}" writes out what is no text`);
  return String(value);
}

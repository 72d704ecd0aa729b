import type { ComponentChildren, RefObject } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Told } from "../token-orders.ts";
import { AskError, order } from "./ask.ts";
import { useLive } from "./live.tsx";
import { visible } from "./words.ts";

/** One kind of order, from the click to what came of it. */
export interface Order<T extends object = Told> {
  busy: boolean;
  told: Told | undefined;
  /** What is wrong with a field. */
  errors: Readonly<Record<string, string>>;
  /** `undefined`: it did not work, and the person is told why. */
  send(body: object): Promise<T | undefined>;
  say(told: Told | undefined): void;
  /** The form, whose first wrong field takes the focus. */
  form: RefObject<HTMLFormElement | null>;
}

export function useOrder<T extends object = Told>(path: string): Order<T> {
  const { again } = useLive();
  const [busy, setBusy] = useState(false);
  const [told, say] = useState<Told>();
  const [errors, setErrors] = useState<Readonly<Record<string, string>>>({});
  const form = useRef<HTMLFormElement>(null);
  const send = async (body: object) => {
    setBusy(true);
    say(undefined);
    setErrors({});
    try {
      const answer = await order<T>(path, body);
      if ("text" in answer) say(answer as unknown as Told);
      return answer;
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      setErrors(error.fields);
      say({ well: false, text: error.message });
      requestAnimationFrame(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
      return undefined;
    } finally {
      setBusy(false);
      again();
    }
  };
  return { busy, told, errors, send, say, form };
}

const RESULTS = new Map([
  [true, "result good"],
  [false, "result bad"],
  [undefined, "result busy"],
]);

/** What came of an order: read out when it comes. Neither well nor ill: it is not known yet. */
export function Result({ of: told }: { of: Partial<Told> | undefined }) {
  return (
    <p role="status" class={told === undefined ? "result none" : RESULTS.get(told.well)}>
      {visible(told?.text ?? "")}
    </p>
  );
}

/** A form that is sent as an order. */
export function OrderForm({
  order: { busy, told, form },
  action,
  kind = "main",
  disabled = false,
  onSend,
  children,
}: {
  order: Pick<Order, "busy" | "told" | "form">;
  action: string;
  /** How much the button stands out. */
  kind?: "main" | "plain" | "danger";
  disabled?: boolean;
  onSend(): void;
  children?: ComponentChildren;
}) {
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) onSend();
      }}
    >
      {children}
      <div class="send">
        <button type="submit" class={kind} disabled={disabled} aria-disabled={busy}>
          {busy ? "One moment…" : action}
        </button>
      </div>
      <Result of={told} />
    </form>
  );
}

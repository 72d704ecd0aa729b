import { useEffect, useState } from "preact/hooks";
import type { SandboxView } from "../sandbox-orders.ts";
import { look } from "./ask.ts";
import { OrderForm, Result, useOrder } from "./orders.tsx";

const TIMES: [label: string, seconds: number | undefined][] = [
  ["for half a minute", 30],
  ["for two minutes", 120],
  ["for ten minutes", 600],
  ["until it is well again", undefined],
];

/** Breaks and mends the sandbox that stands in for Webex. */
export function SandboxPanel() {
  const [view, setView] = useState<SandboxView>();
  const [fault, setFault] = useState("down");
  const [time, setTime] = useState("1");
  const broken = useOrder("sandbox/fault");
  const mended = useOrder("sandbox/well");
  const refresh = () =>
    look<SandboxView>("sandbox").then(setView, () => {
      // The next look tells.
    });
  useEffect(() => {
    void refresh();
    const timer = setInterval(() => !document.hidden && refresh(), 5000);
    return () => clearInterval(timer);
  }, []);
  const about = view?.known.find((known) => known.fault === fault)?.about;
  return (
    <section class="card" aria-labelledby="sandbox">
      <h2 id="sandbox">Sandbox</h2>
      <p>
        {view === undefined || view.faults.length === 0
          ? "It stands in for Webex, and is well. Break it, and watch the tokens hold."
          : `Webex is now broken: ${view.faults.map(({ fault: one, remainingSeconds: left }) => `${one}${left === undefined ? "" : ` for ${left} s`}`).join(", ")}.`}
      </p>
      <OrderForm
        order={broken}
        action="Break it"
        onSend={() => {
          mended.say(undefined);
          void broken.send({ fault, seconds: TIMES[Number(time)]?.[1] }).then(refresh);
        }}
      >
        <div class="pair">
          <div class="field">
            <label htmlFor="fault">What goes wrong</label>
            <select
              id="fault"
              value={fault}
              aria-describedby="fault-about"
              onChange={(event) => setFault(event.currentTarget.value)}
            >
              {(view?.known ?? []).map((known) => (
                <option key={known.fault} value={known.fault}>
                  {known.fault}
                </option>
              ))}
            </select>
          </div>
          <div class="field">
            <label htmlFor="time">How long</label>
            <select id="time" value={time} onChange={(event) => setTime(event.currentTarget.value)}>
              {TIMES.map(([label], index) => (
                <option key={label} value={String(index)}>
                  {label}
                </option>
              ))}
            </select>
          </div>
        </div>
        <p class="hint" id="fault-about">
          {about}
        </p>
      </OrderForm>
      {view !== undefined && view.faults.length > 0 && (
        <button
          type="button"
          onClick={() => {
            broken.say(undefined);
            void mended.send({}).then(refresh);
          }}
        >
          Make it well
        </button>
      )}
      <Result of={mended.told} />
    </section>
  );
}

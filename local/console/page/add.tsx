import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { SCOPES } from "../../scopes.ts";
import type { Told } from "../token-orders.ts";
import { Consent } from "./consent.tsx";
import { useLive } from "./live.tsx";
import { OrderForm, Result, useOrder } from "./orders.tsx";
import { Copied, Field, Title } from "./parts.tsx";
import { randomText } from "./random.tsx";
import { tokenAddress } from "./route.tsx";
import { ScopeChoice } from "./scopes.tsx";
import { UseIt } from "./use-it.tsx";

type Kind = "integration" | "service-app";

/** The guided set-up, from what to create at Webex to the first use. */
export function Add() {
  const [kind, setKind] = useState<Kind>("integration");
  const [name, setName] = useState<string>();
  const [authorized, setAuthorized] = useState(false);
  return (
    <>
      <Title title="Add a token">Add a token</Title>
      <ol class="steps">
        <KindStep kind={kind} onKind={setKind} fixed={name !== undefined} />
        {kind === "integration" ? (
          <Integration onAdded={setName} added={name} />
        ) : (
          <ServiceApp
            added={name}
            onAdded={(added, well) => {
              setName(added);
              setAuthorized(well);
            }}
          />
        )}
        {kind === "integration" && (
          <Step title="Authorize it" ready={name !== undefined} done={authorized}>
            <p>
              Somebody with the rights that the flows need logs in at Webex, and allows it. Once; after that
              it is refreshed by itself.
            </p>
            {name !== undefined && (
              <Consent
                name={name}
                scopes={undefined}
                again={false}
                onAuthorized={() => setAuthorized(true)}
              />
            )}
          </Step>
        )}
        <Step title="Use it" ready={authorized} done={false}>
          {name !== undefined && authorized && (
            <>
              <p>Paste one of these where the token is wanted; the first shows at once that it works.</p>
              <UseIt name={name} ownPassphrase={false} />
              <p>
                <a class="button" href={tokenAddress(name)}>
                  See how it is
                </a>
              </p>
            </>
          )}
        </Step>
      </ol>
    </>
  );
}

interface StepProps {
  title: string;
  ready: boolean;
  done: boolean;
  children: ComponentChildren;
}

/** Takes the focus when its turn comes: what had it is gone by then. */
function Step({ title, ready, done, children }: StepProps) {
  const head = useRef<HTMLHeadingElement>(null);
  const before = useRef(ready);
  useEffect(() => {
    if (ready && !before.current) head.current?.focus();
    before.current = ready;
  }, [ready]);
  return (
    <li class={done ? "step done" : ready ? "step" : "step later"}>
      <h2 tabIndex={-1} ref={head}>
        {title}
        {done && <span class="done-sign"> ✓ done</span>}
      </h2>
      {ready ? children : <p class="hint">After the step before.</p>}
    </li>
  );
}

const KINDS: [kind: Kind, title: string, about: string][] = [
  [
    "integration",
    "Integration",
    "Acts as the person who authorizes it. For flows, Webex Connect and scripts.",
  ],
  [
    "service-app",
    "Service App",
    "Acts as itself; an administrator approves it in Control Hub, and nobody logs in.",
  ],
];

function KindStep({ kind, onKind, fixed }: { kind: Kind; onKind(kind: Kind): void; fixed: boolean }) {
  return (
    <Step title="Choose what the token comes from" ready done={fixed}>
      <fieldset class="kinds" disabled={fixed}>
        <legend class="unseen">What the token comes from</legend>
        {KINDS.map(([value, title, about]) => (
          <label key={value} class="choice">
            <input type="radio" name="kind" checked={kind === value} onChange={() => onKind(value)} />
            <span>
              <b>{title}</b> <span class="meaning">{about}</span>
            </span>
          </label>
        ))}
      </fieldset>
    </Step>
  );
}

const WEBEX = "https://developer.webex.com/my-apps/new";

const WebexLink = ({ kind }: { kind: string }) => (
  <a href={`${WEBEX}/${kind}`} target="_blank" rel="noreferrer">
    developer.webex.com
  </a>
);

const DEFAULT_SCOPES = SCOPES.slice(0, 2)
  .map(({ scope }) => scope)
  .join(" ");

function Integration({ added, onAdded }: { added: string | undefined; onAdded(name: string): void }) {
  const { about } = useLive();
  const sent = useOrder("add");
  const practised = useOrder("sandbox/integration");
  const [form, setForm] = useState({ name: "", clientId: "", clientSecret: "", scopes: DEFAULT_SCOPES });
  const [typed, setTyped] = useState("");
  const redirectUri = about?.redirectUri ?? typed;
  const put = (field: keyof typeof form) => (value: string) =>
    setForm((before) => ({ ...before, [field]: value }));
  const practise = async () => {
    const made = { clientId: `practice-${randomText(6)}`, clientSecret: randomText(32) };
    const { scopes } = form;
    if (await practised.send({ ...made, redirectUri, scopes })) setForm((before) => ({ ...before, ...made }));
  };
  const send = async () => {
    const name = form.name.trim();
    const told: Told | undefined = await sent.send({ ...form, redirectUri });
    if (told?.well) onAdded(name);
    if (told?.well) put("clientSecret")("");
  };
  return (
    <>
      <Step title="Create it at Webex" ready done={added !== undefined}>
        {about?.sandbox ? (
          <>
            <p>The sandbox stands in for Webex here: let it make an integration to practise with.</p>
            <button type="button" onClick={practise} disabled={added !== undefined}>
              Make a practice integration
            </button>
            <Result of={practised.told} />
          </>
        ) : (
          <p>
            Log in at <WebexLink kind="integration" />, choose Create an Integration, give it a name and an
            icon, paste the redirect URI below, and tick the scopes that you choose in the next step. Webex
            then shows the client id and, once, the client secret.
          </p>
        )}
        {about !== undefined && about.redirectUri === null ? (
          <Field
            label="Redirect URI"
            hint="The address of /callback of the service, such as https://…/callback. The integration must have exactly this one."
            value={typed}
            onValue={setTyped}
            error={sent.errors.redirectUri}
          />
        ) : (
          <Copied label="Redirect URI" text={redirectUri} />
        )}
      </Step>
      <Step title="Give its settings" ready done={added !== undefined}>
        {added === undefined ? (
          <OrderForm order={sent} action="Save" onSend={send}>
            <ClientFields form={form} put={put} errors={sent.errors} />
            <ScopeChoice value={form.scopes} onValue={put("scopes")} error={sent.errors.scopes} />
          </OrderForm>
        ) : (
          <Result of={sent.told} />
        )}
      </Step>
    </>
  );
}

interface ClientFieldsProps {
  form: { name: string; clientId: string; clientSecret: string };
  put(field: "name" | "clientId" | "clientSecret"): (value: string) => void;
  errors: Readonly<Record<string, string>>;
}

/** What every kind of token needs. */
const ClientFields = ({ form, put, errors }: ClientFieldsProps) => (
  <>
    <Field
      label="Name of the token"
      hint="By which flows ask for it, such as sales."
      value={form.name}
      onValue={put("name")}
      error={errors.name}
    />
    <Field label="Client id" value={form.clientId} onValue={put("clientId")} error={errors.clientId} />
    <Field
      label="Client secret"
      hint="It is stored, and never shown again."
      secret
      value={form.clientSecret}
      onValue={put("clientSecret")}
      error={errors.clientSecret}
    />
  </>
);

const PRACTICE =
  "Its settings are filled in below. Its refresh token goes from the sandbox to the store by itself.";

interface ServiceAppProps {
  added: string | undefined;
  /** `well`: it was refreshed, too. */
  onAdded(name: string, well: boolean): void;
}

function ServiceApp({ added, onAdded }: ServiceAppProps) {
  const { about } = useLive();
  const [practice, setPractice] = useState(false);
  const sent = useOrder(practice ? "sandbox/service-app" : "import");
  const [form, setForm] = useState({ name: "", clientId: "", clientSecret: "", refreshToken: "" });
  const put = (field: keyof typeof form) => (value: string) =>
    setForm((before) => ({ ...before, [field]: value }));
  const practise = () => {
    setPractice(true);
    setForm({ ...form, clientId: `practice-${randomText(6)}`, clientSecret: randomText(32) });
  };
  const send = async () => {
    const told: Told | undefined = await sent.send(form);
    if (told === undefined) return;
    onAdded(form.name.trim(), told.well);
    setForm({ ...form, clientSecret: "", refreshToken: "" });
  };
  return (
    <>
      <Step title="Create it at Webex" ready done={added !== undefined}>
        {about?.sandbox ? (
          <>
            <p>The sandbox stands in for Webex here: let it make a Service App to practise with.</p>
            <button type="button" onClick={practise} disabled={added !== undefined}>
              Make a practice Service App
            </button>
            <Result of={practice ? { well: true, text: PRACTICE } : undefined} />
          </>
        ) : (
          <p>
            Log in at <WebexLink kind="service-app" />, choose Create a Service App, tick the scopes, and
            request admin authorization. An administrator approves it in Control Hub under Apps. Then choose
            the organization on the page of the Service App, paste its client secret there, and generate
            tokens: Webex shows a refresh token.
          </p>
        )}
      </Step>
      <Step title="Give its settings and tokens" ready done={added !== undefined && sent.told?.well === true}>
        {added === undefined ? (
          <OrderForm order={sent} action="Save and refresh" onSend={send}>
            <ClientFields form={form} put={put} errors={sent.errors} />
            {!practice && (
              <Field
                label="Refresh token"
                hint="It is stored, and never shown again."
                secret
                value={form.refreshToken}
                onValue={put("refreshToken")}
                error={sent.errors.refreshToken}
              />
            )}
          </OrderForm>
        ) : (
          <>
            <Result of={sent.told} />
            {sent.told?.well === false && (
              <p>
                <a class="button" href={tokenAddress(added)}>
                  Open it, and mend it there
                </a>
              </p>
            )}
          </>
        )}
      </Step>
    </>
  );
}

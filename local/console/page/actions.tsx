import { useState } from "preact/hooks";
import type { Row } from "../row.ts";
import type { Details } from "../views.ts";
import { Consent } from "./consent.tsx";
import { useLive } from "./live.tsx";
import { OrderForm, Result, useOrder } from "./orders.tsx";
import { CopyButton, Field, Fold } from "./parts.tsx";
import { randomText } from "./random.tsx";
import { OVERVIEW } from "./route.tsx";

interface ActionProps {
  row: Row;
  details: Details;
}

/** All that can be done with a token; what mends it is open already. */
export function Actions({ row, details }: ActionProps) {
  const { about } = useLive();
  const remedy = details.advice?.remedy;
  const { name } = row;
  return (
    <div class="actions">
      {row.refreshes && <Refresh name={name} helps={remedy === undefined} />}
      {details.redirectUri !== null && (
        <Fold
          title={details.holds.refreshToken ? "Authorize again" : "Authorize"}
          about="A person logs in at Webex, and allows it"
          open={remedy === "authorize"}
        >
          <Consent name={name} scopes={details.scopes ?? ""} again={details.holds.refreshToken} />
        </Fold>
      )}
      <Fold title="Change the client secret" about="Or the client id" open={remedy === "settings"}>
        <Settings name={name} details={details} />
      </Fold>
      <Fold title="Give new tokens" about="Those of a Service App" open={remedy === "import"}>
        <Import name={name} />
      </Fold>
      <Fold
        title="Passphrase"
        about={row.ownPassphrase ? "It has one of its own" : "The shared one opens it"}
      >
        <Passphrase row={row} />
      </Fold>
      {about?.sandbox && details.clientId !== null && (
        <Fold title="Withdraw the grant" about="In the sandbox, as Webex does at times">
          <Revoke name={name} />
        </Fold>
      )}
      <Fold title="Remove" about="Forget it, and all that is stored of it">
        <Remove name={name} />
      </Fold>
    </div>
  );
}

function Refresh({ name, helps }: { name: string; helps: boolean }) {
  const refreshed = useOrder("refresh");
  return (
    <div class="fold now">
      <OrderForm
        order={refreshed}
        action="Refresh now"
        kind={helps ? "main" : "plain"}
        onSend={() => void refreshed.send({ name })}
      />
    </div>
  );
}

function Settings({ name, details }: { name: string; details: Details }) {
  const sent = useOrder("settings");
  const [clientSecret, setSecret] = useState("");
  const [clientId, setId] = useState("");
  const [redirectUri, setUri] = useState("");
  const send = async () => {
    if (await sent.send({ name, clientSecret, clientId, redirectUri })) setSecret("");
  };
  return (
    <OrderForm order={sent} action="Save" onSend={send}>
      <Field
        label="New client secret"
        hint="It takes the place of the one that is stored, and is never shown."
        secret
        value={clientSecret}
        onValue={setSecret}
        error={sent.errors.clientSecret}
      />
      <Field
        label="Client id"
        hint="Empty: it stays."
        placeholder={details.clientId ?? ""}
        value={clientId}
        onValue={setId}
        error={sent.errors.clientId}
      />
      <Field
        label="Redirect URI"
        hint="Empty: it stays."
        placeholder={details.redirectUri ?? ""}
        value={redirectUri}
        onValue={setUri}
        error={sent.errors.redirectUri}
      />
    </OrderForm>
  );
}

function Import({ name }: { name: string }) {
  const sent = useOrder("import");
  const [refreshToken, setToken] = useState("");
  const [clientSecret, setSecret] = useState("");
  const send = async () => {
    if (!(await sent.send({ name, refreshToken, clientSecret, replace: true }))) return;
    setToken("");
    setSecret("");
  };
  return (
    <OrderForm order={sent} action="Save and refresh" onSend={send}>
      <Field
        label="Refresh token"
        hint="As Webex shows it on the page of the Service App."
        secret
        value={refreshToken}
        onValue={setToken}
        error={sent.errors.refreshToken}
      />
      <Field
        label="Client secret"
        hint="Empty: the one that is stored stays."
        secret
        value={clientSecret}
        onValue={setSecret}
        error={sent.errors.clientSecret}
      />
    </OrderForm>
  );
}

/** It is made here, written, and seen by nobody: the clipboard is the only way out. */
function Passphrase({ row: { name, ownPassphrase } }: { row: Row }) {
  const given = useOrder("passphrase");
  const taken = useOrder("passphrase/clear");
  const [made, setMade] = useState("");
  const [copied, setCopied] = useState(false);
  const make = () => {
    setMade(randomText(32));
    setCopied(false);
    given.say(undefined);
  };
  const give = async () => {
    if (await given.send({ name, passphrase: made })) setMade("");
  };
  return (
    <>
      <p>
        A token with a passphrase of its own opens with that one alone. Copy it to where it belongs before you
        use it: only its hash is stored, and nothing shows it again.
      </p>
      {made === "" ? (
        <button type="button" onClick={make}>
          Make a passphrase
        </button>
      ) : (
        <OrderForm
          order={given}
          action={ownPassphrase ? "Use it in place of the present one" : "Use it"}
          disabled={!copied}
          onSend={give}
        >
          <Field
            label="The new passphrase"
            hint={copied ? "It is on the clipboard." : "Copy it first."}
            secret
            readOnly
            value={made}
            onValue={() => {}}
            error={given.errors.passphrase}
          />
          <CopyButton text={made} what="the new passphrase" onCopied={() => setCopied(true)} />
        </OrderForm>
      )}
      {made === "" && <Result of={given.told} />}
      {ownPassphrase && (
        <OrderForm
          order={taken}
          action="Take its own passphrase away"
          kind="danger"
          onSend={() => void taken.send({ name })}
        />
      )}
      {!ownPassphrase && <Result of={taken.told} />}
    </>
  );
}

function Revoke({ name }: { name: string }) {
  const revoked = useOrder("sandbox/revoke");
  return (
    <OrderForm order={revoked} action="Withdraw it" kind="danger" onSend={() => void revoked.send({ name })}>
      <p>
        The next refresh is refused for good; what it holds is served to its end, and authorizing it again
        mends it.
      </p>
    </OrderForm>
  );
}

function Remove({ name }: { name: string }) {
  const removed = useOrder("remove");
  const [confirm, setConfirm] = useState("");
  const { tell } = useLive();
  const remove = async () => {
    const told = await removed.send({ name, confirm });
    if (told === undefined) return;
    location.hash = OVERVIEW;
    tell(told.text);
  };
  return (
    <OrderForm order={removed} action="Remove" kind="danger" onSend={remove}>
      <p>Its refresh token can't be had back. Webex is not told: to end the grant itself, revoke it there.</p>
      <Field
        label="Type the name of the token"
        value={confirm}
        onValue={setConfirm}
        error={removed.errors.confirm}
      />
    </OrderForm>
  );
}

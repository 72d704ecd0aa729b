import { useEffect, useState } from "preact/hooks";
import type { Opened, Progress } from "../consents.ts";
import { look } from "./ask.ts";
import { useLive } from "./live.tsx";
import { OrderForm, Result, useOrder } from "./orders.tsx";
import { Field, Fold } from "./parts.tsx";
import { ScopeChoice } from "./scopes.tsx";

const LOOK = 700;

/** A person's consent, from the button to the tokens; its success is seen without a reload. */
export function Consent({
  name,
  scopes,
  again,
  onAuthorized = () => {},
}: {
  name: string;
  /** `undefined`: chosen before, and not to be changed here. */
  scopes: string | undefined;
  again: boolean;
  onAuthorized?: () => void;
}) {
  const begun = useOrder<Opened>("authorize");
  const [opened, setOpened] = useState<Opened>();
  const [chosen, setChosen] = useState(scopes ?? "");
  const [newOrg, setNewOrg] = useState(false);
  const [noPkce, setNoPkce] = useState(false);
  const progress = useProgress(opened?.consent, onAuthorized);
  const begin = async () => {
    const consent = await begun.send({
      name,
      newOrg,
      noPkce,
      ...(scopes !== undefined && { scopes: chosen }),
    });
    if (consent === undefined) return;
    setOpened(consent);
    window.open(consent.url, "_blank", "noopener");
  };
  return (
    <div class="consent">
      <OrderForm
        order={begun}
        action={again ? "Authorize again with Webex" : "Authorize with Webex"}
        onSend={begin}
      >
        {scopes === "" && <ScopeChoice value={chosen} onValue={setChosen} error={begun.errors.scopes} />}
        {scopes !== undefined && scopes !== "" && (
          <Fold title="Other scopes than last time">
            <ScopeChoice value={chosen} onValue={setChosen} error={begun.errors.scopes} />
          </Fold>
        )}
        <Fold title="Unusual integrations">
          <label class="choice">
            <input
              type="checkbox"
              checked={newOrg}
              onChange={(event) => setNewOrg(event.currentTarget.checked)}
            />
            <span>The tokens may belong to another organization than before</span>
          </label>
          <label class="choice">
            <input
              type="checkbox"
              checked={noPkce}
              onChange={(event) => setNoPkce(event.currentTarget.checked)}
            />
            <span>Without PKCE, for an integration that refuses it</span>
          </label>
        </Fold>
      </OrderForm>
      {opened !== undefined && progress?.state !== "authorized" && (
        <p>
          Webex opened in another tab. If it did not:{" "}
          <a href={opened.url} target="_blank" rel="noreferrer">
            open the consent
          </a>
          . It is good for 15 minutes.
        </p>
      )}
      <Result of={toldOf(progress)} />
      {opened !== undefined && !opened.comesBack && progress?.state === "waiting" && (
        <Paste name={name} redirectUri={opened.redirectUri} onAuthorized={onAuthorized} />
      )}
    </div>
  );
}

/** Until it is known what comes of it, it is neither well nor ill. */
function toldOf(progress: Progress | undefined) {
  if (progress === undefined) return undefined;
  const { text, state } = progress;
  return state === "waiting" || state === "exchanging" ? { text } : { text, well: state === "authorized" };
}

/** Where the browser can't reach the service, its address line brings the code here. */
function Paste({
  name,
  redirectUri,
  onAuthorized,
}: {
  name: string;
  redirectUri: string;
  onAuthorized(): void;
}) {
  const pasted = useOrder("authorize/paste");
  const [address, setAddress] = useState("");
  return (
    <OrderForm
      order={pasted}
      action="Finish"
      onSend={() => void pasted.send({ name, address }).then((told) => told?.well && onAuthorized())}
    >
      <Field
        label="The address at which the browser ended"
        hint={`Only if ${redirectUri} could not be reached after you allowed it.`}
        secret
        value={address}
        onValue={setAddress}
        error={pasted.errors.address}
      />
    </OrderForm>
  );
}

/** What has come of a consent, until that is known. */
function useProgress(consent: string | undefined, onAuthorized: () => void): Progress | undefined {
  const { again } = useLive();
  const [progress, setProgress] = useState<Progress>();
  useEffect(() => {
    setProgress(undefined);
    if (consent === undefined) return;
    let timer = 0;
    let over = false;
    const ask = async () => {
      const next = await look<Progress>("consent", { id: consent }).catch(() => undefined);
      if (over) return;
      if (next !== undefined) setProgress(next);
      if (next?.state === "authorized") onAuthorized();
      if (next?.state === "authorized" || next?.state === "failed") return again();
      timer = window.setTimeout(ask, LOOK);
    };
    void ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [consent]);
  return progress;
}

import { useEffect, useState } from "preact/hooks";
import type { Row } from "../row.ts";
import type { Details } from "../views.ts";
import { Actions } from "./actions.tsx";
import { AskError, look } from "./ask.ts";
import { LifeBar } from "./life-bar.tsx";
import { useLive, useNow } from "./live.tsx";
import { Name, Title } from "./parts.tsx";
import { OVERVIEW } from "./route.tsx";
import { State } from "./state.tsx";
import { UseIt } from "./use-it.tsx";
import {
  instantText,
  lifeText,
  publishedText,
  publishRemedy,
  refreshText,
  resultText,
  runwayText,
  visible,
} from "./words.ts";

/** All about one token, and what can be done with it. */
export function Token({ name }: { name: string }) {
  const { rows, ready } = useLive();
  const row = rows.find((one) => one.name === name);
  const [details, problem] = useDetails(name, row);
  return (
    <>
      <p class="back">
        <a href={OVERVIEW}>← All tokens</a>
      </p>
      <Title title={visible(name)}>
        <Name of={name} />
      </Title>
      {ready && row === undefined ? (
        <p>There is no token of this name, or it was removed.</p>
      ) : (
        <>
          {row !== undefined && <Health row={row} details={details} />}
          {problem !== undefined && <p class="result bad">{problem}</p>}
          {details !== undefined && <Rest details={details} row={row ?? details.row} />}
        </>
      )}
    </>
  );
}

/** Asked for again whenever the row has changed. */
function useDetails(name: string, row: Row | undefined): [Details | undefined, string | undefined] {
  const [details, setDetails] = useState<Details>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let over = false;
    look<Details>("token", { name }).then(
      (found) => {
        if (over) return;
        setDetails(found);
        setProblem(undefined);
      },
      (error: unknown) => {
        if (!over && row !== undefined) setProblem(error instanceof AskError ? error.message : String(error));
      },
    );
    return () => {
      over = true;
    };
  }, [name, row]);
  return [details?.row.name === name ? details : undefined, problem];
}

function Health({ row, details }: { row: Row; details: Details | undefined }) {
  const now = useNow();
  const facts: [string, string][] = [
    ["Access token", lifeText(row, now)],
    ["Next refresh", refreshText(row, now)],
    ["Refresh token", runwayText(row, now)],
    ["Last result", resultText(row, now)],
  ];
  if (row.publish !== undefined) facts.push(["Published", publishedText(row.publish, now)]);
  const unpublished = row.publish && publishRemedy(row.publish);
  return (
    <section class="card health" aria-label="How it is">
      <p class="state-line">
        <State row={row} now={now} />
      </p>
      <LifeBar row={row} now={now} />
      <dl class="facts">
        {facts.map(([term, text]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{visible(text)}</dd>
          </div>
        ))}
      </dl>
      {details?.advice && (
        <div class="advice" role="note">
          <p>
            <b>{visible(details.advice.problem)}</b> {visible(details.advice.todo)}
          </p>
        </div>
      )}
      {unpublished !== undefined && (
        <div class="advice" role="note">
          <p>
            <b>It can't be put into its global variable.</b> {visible(unpublished)}
          </p>
        </div>
      )}
    </section>
  );
}

function Rest({ details, row }: { details: Details; row: Row }) {
  const { ready } = useLive();
  return (
    <>
      <h2>What to do with it</h2>
      <Actions details={details} row={row} />
      {ready && (
        <>
          <h2>Use it</h2>
          <UseIt name={row.name} ownPassphrase={row.ownPassphrase === true} />
        </>
      )}
      <h2>What is known of it</h2>
      <Facts details={details} row={row} />
    </>
  );
}

function Facts({ details, row }: { details: Details; row: Row }) {
  const now = useNow();
  const { clientId, redirectUri, scope, scopes, holds, serviceApp } = details;
  const { publish } = row;
  const held = Object.entries({
    "client secret": holds.clientSecret,
    "refresh token": holds.refreshToken,
    "access token": holds.accessToken,
  }).flatMap(([what, there]) => (there ? [what] : []));
  const instant = (value: number | undefined) => (value === undefined ? undefined : instantText(value, now));
  const facts: [string, string | null | undefined][] = [
    ["Organization", row.orgId],
    ["Cluster", row.cluster],
    ["Client id", clientId],
    ["Redirect URI", redirectUri],
    ["Scopes asked for", scopes],
    ["Scopes granted", scope],
    ["Service App", serviceApp?.applicationId],
    ["Acts in", serviceApp?.targetOrg],
    ["Its manager", serviceApp?.manager],
    ["Published in", publish && `${publish.variables.join(", ")} (${publish.region})`],
    ["Written by", publish?.via],
    ["Stored, never shown", held.join(", ") || "nothing"],
    ["Passphrase", row.ownPassphrase ? "its own" : "the shared one"],
    ["Access token ends", instant(row.accessExpires)],
    ["Refresh token ends", instant(row.refreshExpires)],
    ["Failing since", instant(row.failure?.since)],
    ["Fields of a wrong kind", row.mistyped?.join(", ")],
  ];
  return (
    <dl class="facts all">
      {facts.flatMap(([term, text]) =>
        text === null || text === undefined
          ? []
          : [
              <div key={term}>
                <dt>{term}</dt>
                <dd>{visible(text)}</dd>
              </div>,
            ],
      )}
    </dl>
  );
}

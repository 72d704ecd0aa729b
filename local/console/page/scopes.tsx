import { SCOPES } from "../../scopes.ts";

/** Scopes to ask for: those of the contact centre with their meaning, and any other by name. */
export function ScopeChoice({
  value,
  onValue,
  error,
}: {
  value: string;
  onValue(value: string): void;
  error?: string | undefined;
}) {
  const chosen = value.split(" ").filter(Boolean);
  const known = SCOPES.map(({ scope }) => scope);
  const others = chosen.filter((scope) => !known.includes(scope));
  const put = (wanted: string[], other: string) =>
    onValue(
      [...known.filter((scope) => wanted.includes(scope)), ...other.split(/[\s,]+/).filter(Boolean)].join(
        " ",
      ),
    );
  return (
    <fieldset
      class="scopes"
      aria-describedby="scopes-hint scopes-error"
      aria-invalid={error !== undefined}
      tabIndex={-1}
    >
      <legend>Scopes</legend>
      <p class="hint" id="scopes-hint">
        What the token may do. The integration at Webex must have each of them; choose as few as the flows
        need.
      </p>
      {SCOPES.map(({ scope, meaning }) => (
        <label key={scope} class="choice">
          <input
            type="checkbox"
            checked={chosen.includes(scope)}
            onChange={(event) =>
              put(
                event.currentTarget.checked ? [...chosen, scope] : chosen.filter((one) => one !== scope),
                others.join(" "),
              )
            }
          />
          <span>
            <code>{scope}</code> <span class="meaning">{meaning}</span>
          </span>
        </label>
      ))}
      <label class="other" htmlFor="other-scopes">
        Others, separated by spaces
      </label>
      <input
        id="other-scopes"
        autocomplete="off"
        spellcheck={false}
        defaultValue={others.join(" ")}
        onChange={(event) => put(chosen, event.currentTarget.value)}
      />
      <p class="error" id="scopes-error">
        {error}
      </p>
    </fieldset>
  );
}

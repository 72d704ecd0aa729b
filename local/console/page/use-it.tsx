import { useState } from "preact/hooks";
import { snippetsFor } from "../../snippets.ts";
import { useLive } from "./live.tsx";
import { Copied, Field, Fold } from "./parts.tsx";

/** Ready pieces for whoever asks for a token. */
export function UseIt({ name, ownPassphrase }: { name: string; ownPassphrase: boolean }) {
  const { about } = useLive();
  const [typed, setTyped] = useState("https://LOOKUP");
  const lookup = about?.lookup ?? typed.trim().replace(/\/+$/, "");
  const file = ownPassphrase ? null : (about?.passphraseFile ?? null);
  const passphrase = file === null ? "$TOKEN_PASSPHRASE" : `$(head -n 1 ${quoted(file)})`;
  return (
    <div class="snippets">
      {about?.lookup === null && (
        <Field
          label="Address of lookup"
          hint="As it was deployed; the snippets take it."
          value={typed}
          onValue={setTyped}
        />
      )}
      {file === null && (
        <p class="hint">
          Put the {ownPassphrase ? "token's own" : "shared"} passphrase into the variable TOKEN_PASSPHRASE
          first.
        </p>
      )}
      {snippetsFor({ lookup, name, passphrase }).map(({ id, title, about: text, parts }) => (
        <Fold key={id} title={title} open={id === "curl"}>
          <p>{text}</p>
          {parts.map((part) => (
            <Copied key={part.label} {...part} />
          ))}
        </Fold>
      ))}
    </div>
  );
}

/** For a POSIX shell. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

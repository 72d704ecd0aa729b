import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { visible } from "./words.ts";

/** A view has been there before. */
let opened = false;

/** The head of a view: it takes the focus when the view comes, so that a screen reader begins there. */
export function Title({ children, title }: { children: ComponentChildren; title: string }) {
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – Tokens`;
    // At the very first there is nothing to lead away from.
    if (opened) head.current?.focus();
    opened = true;
    scrollTo(0, 0);
  }, [title]);
  return (
    <h1 tabIndex={-1} ref={head}>
      {children}
    </h1>
  );
}

/** A name from outside: shown as it is, whatever it holds, and kept from turning the text around it. */
export const Name = ({ of }: { of: string }) => <bdi>{visible(of)}</bdi>;

interface FieldProps {
  label: string;
  value: string;
  onValue(value: string): void;
  hint?: ComponentChildren;
  error?: string | undefined;
  /** Not shown while it is typed, and not kept by the browser. */
  secret?: boolean;
  placeholder?: string;
  readOnly?: boolean;
}

/** A field with its label, what it is for, and what is wrong with it. */
export function Field({
  label,
  value,
  onValue,
  hint,
  error,
  secret = false,
  placeholder,
  readOnly,
}: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label htmlFor={id}>{label}</label>
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <input
        {...(secret && { type: "password" as const })}
        id={id}
        value={value}
        placeholder={placeholder ?? ""}
        readOnly={readOnly ?? false}
        autocomplete={secret ? "new-password" : "off"}
        autocapitalize="off"
        spellcheck={false}
        aria-invalid={error !== undefined}
        aria-describedby={described || undefined}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      {error && (
        <p class="error" id={`${id}-error`}>
          {error}
        </p>
      )}
    </div>
  );
}

/** Puts a text on the clipboard, and says so. */
export function CopyButton({
  text,
  what,
  onCopied = () => {},
}: {
  text: string;
  what: string;
  onCopied?: () => void;
}) {
  const [said, say] = useState("");
  useEffect(() => {
    if (said === "") return;
    const timer = setTimeout(() => say(""), 4000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => {
        say("Copied");
        onCopied();
      },
      () => say("Not copied: select it, and copy it by hand"),
    );
  return (
    <span class="copy">
      <button type="button" class="quiet" onClick={copy}>
        {said === "Copied" ? "Copied" : "Copy"}
        <span class="unseen"> {what}</span>
      </button>
      <span role="status" class={said.startsWith("Not") ? "error" : "unseen"}>
        {said && `${said}${said === "Copied" ? `: ${what}` : ""}`}
      </span>
    </span>
  );
}

/** A text to be copied as it is. */
export function Copied({ label, text }: { label: string; text: string }) {
  return (
    <figure class="copied">
      <figcaption>
        <span>{label}</span>
        <CopyButton text={text} what={label} />
      </figcaption>
      <pre>{text.split("\n").map(visible).join("\n")}</pre>
    </figure>
  );
}

/** Something that opens when it is wanted. */
export function Fold({
  id,
  title,
  about,
  open = false,
  children,
}: {
  id?: string;
  title: string;
  about?: string;
  open?: boolean;
  children: ComponentChildren;
}) {
  const [wanted, setWanted] = useState(open);
  // What it was opened for may be over while its result is still to be read: it never closes by itself.
  useEffect(() => {
    if (open) setWanted(true);
  }, [open]);
  return (
    <details
      class="fold"
      {...(id !== undefined && { id })}
      open={wanted}
      onToggle={(event) => setWanted(event.currentTarget.open)}
    >
      <summary>
        <span class="fold-title">{title}</span>
        {about && <span class="fold-about">{about}</span>}
      </summary>
      {wanted && <div class="fold-body">{children}</div>}
    </details>
  );
}

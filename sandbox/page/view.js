// Turns state into DOM. Nothing here talks to the server.

import { markdown } from "/page/markdown.js";

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const clock = (iso) => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const clockExact = (moment) => new Date(moment).toLocaleTimeString([], { hour12: false }) + "." + String(Math.floor(moment % 1000)).padStart(3, "0");

export function statusPill(status) {
  return h("span", { className: `pill status-${status}` }, status);
}

// Messages.

const AUTHORS = { Contact: "customer", User: "human", AgentBot: "bot" };

function kindOf(message) {
  if (message.message_type === "activity") return "activity";
  if (message.private) return "note";
  if (message.message_type === "template") return "template";
  return AUTHORS[message.sender_type] || "bot";
}

export function widgetMessage(message, { onSubmit }) {
  const mine = message.message_type === "incoming";
  const body = bubble(message, onSubmit);
  const author = mine ? null : message.sender_name || "Sandbox Store";
  return h("div", { className: `message ${mine ? "mine" : "theirs"}` },
    author ? h("div", { className: "meta" }, author) : null,
    body,
    h("div", { className: "meta" }, clock(message.created_at)));
}

export function agentMessage(message) {
  const kind = kindOf(message);
  if (kind === "activity") {
    return h("div", { className: "activity" }, message.content, " · ", clock(message.created_at));
  }
  const labels = { customer: "customer", human: "human", bot: "bot", note: `note · ${AUTHORS[message.sender_type] || "system"}`, template: "widget" };
  const meta = h("div", { className: "meta" },
    h("span", { className: "author" }, message.sender_name || "Chatwoot"),
    h("span", { className: `tag tag-${kind}` }, labels[kind]),
    clock(message.created_at),
    message.status === "read" ? h("span", { title: "read by the customer" }, "✓✓") : null);
  const details = [`message ${message.id}`, message.source_id ? `source_id ${message.source_id}` : ""].filter(Boolean).join(" · ");
  return h("div", { className: `message ${kind === "customer" ? "theirs" : "mine"} kind-${kind}`, title: details }, meta, bubble(message, null));
}

function bubble(message, onSubmit) {
  const element = h("div", { className: "bubble" });
  if (message.content) element.append(markdown(message.content));
  for (const attachment of message.attachments) element.append(attachmentView(attachment));
  const rich = richContent(message, onSubmit);
  if (rich) element.append(rich);
  if (!element.childNodes.length) element.append(h("em", {}, "(empty)"));
  return element;
}

function attachmentView(attachment) {
  const name = attachment.data_url.split("/").pop().split("?")[0];
  // The path only: the page may have been opened under another name of this host.
  const path = new URL(attachment.data_url, location.href).pathname;
  const link = { href: path, target: "_blank", rel: "noopener" };
  if (attachment.file_type === "image") {
    return h("a", link, h("img", { src: path, alt: decodeURIComponent(name), className: "attached" }));
  }
  return h("a", { ...link, className: "file" }, `📎 ${decodeURIComponent(name)} (${Math.ceil(attachment.file_size / 1024)} kB)`);
}

function richContent(message, onSubmit) {
  const attributes = message.content_attributes || {};
  const items = attributes.items || [];
  const submitted = attributes.submitted_values || attributes.submitted_email;
  if (message.content_type === "input_select") {
    return h("div", { className: "choices" }, ...items.map((item) => h("button", {
      type: "button",
      className: "button",
      disabled: Boolean(submitted) || !onSubmit,
      ariaPressed: String(Array.isArray(submitted) && submitted.some((v) => v.value === item.value)),
      onclick: () => onSubmit(message, { submitted_values: [{ title: item.title, value: item.value }] }),
    }, item.title)));
  }
  if (message.content_type === "form") return formView(message, items, submitted, onSubmit);
  if (message.content_type === "input_email") return emailView(message, submitted, onSubmit);
  if (message.content_type === "cards" || message.content_type === "article") {
    return h("div", { className: "cards" }, ...items.map(cardView));
  }
  return null;
}

function cardView(item) {
  const actions = (item.actions || []).map((action) => (action.type === "link" ? markdown(`[${action.text}](${action.uri})`) : h("button", { type: "button", className: "button small", disabled: true, title: "Chatwoot shows a postback to nobody" }, action.text)));
  const title = item.link ? markdown(`[${item.title}](${item.link})`) : h("strong", {}, item.title || "");
  return h("div", { className: "card" }, title, h("p", {}, item.description || ""), ...actions);
}

function formView(message, items, submitted, onSubmit) {
  if (submitted) {
    return h("dl", { className: "facts" }, ...submitted.flatMap((v) => {
      const item = items.find((one) => one.name === v.name) || {};
      const option = (item.options || []).find((one) => one.value === v.value);
      return [h("dt", {}, item.label || v.name), h("dd", {}, String(option?.label || v.value))];
    }));
  }
  const form = h("form", { className: "start" });
  for (const item of items) {
    const input = item.type === "select"
      ? h("select", { name: item.name, required: true }, ...(item.options || []).map((o) => h("option", { value: o.value }, o.label)))
      : h(item.type === "text_area" ? "textarea" : "input", { name: item.name, required: true, placeholder: item.placeholder || "" });
    form.append(h("label", {}, item.label || item.name, input));
  }
  form.append(h("button", { className: "button primary", disabled: !onSubmit }, (message.content_attributes || {}).button_label || "Submit"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = [...new FormData(form)].map(([name, value]) => ({ name, value }));
    onSubmit(message, { submitted_values: values });
  });
  return form;
}

function emailView(message, submitted, onSubmit) {
  if (submitted) return h("p", {}, `✓ ${submitted}`);
  const input = h("input", { type: "email", required: true, placeholder: "you@example.org", ariaLabel: "E-mail" });
  return h("form", { className: "inline-form", onsubmit: (event) => { event.preventDefault(); onSubmit(message, { submitted_email: input.value }); } },
    input, h("button", { className: "button primary", disabled: !onSubmit }, "OK"));
}

export function typingLine(element, names) {
  element.hidden = names.length === 0;
  element.querySelector("span").textContent = names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} typing` : "";
}

// The agent's side panel.

export function fillSelect(select, options, current) {
  const wanted = options.map(([value, text]) => `${value}=${text}`).join("|");
  if (select.dataset.options !== wanted) {
    select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
    select.dataset.options = wanted;
  }
  select.value = String(current ?? "");
}

export function attributeRow(name, value, onChange) {
  const row = h("div", { className: "attribute" },
    h("input", { value: name, placeholder: "name", ariaLabel: "Attribute name", oninput: onChange }),
    h("input", { value: typeof value === "string" ? value : JSON.stringify(value), placeholder: "value", ariaLabel: `Value of ${name || "the attribute"}`, oninput: onChange }),
    h("button", { type: "button", className: "icon-button", ariaLabel: `Remove ${name}`, onclick: () => { row.remove(); onChange(); } }, "×"));
  return row;
}

export function facts(rows) {
  return rows.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]);
}

// The wire log.

const DIRECTIONS = { "chatwoot→bridge": "in", "bridge→dify": "dify", "bridge→chatwoot": "out", "dify→bridge": "back", "bridge→openai": "dify" };
const PARTIES = { chatwoot: "Chatwoot", bridge: "Bridge", dify: "Dify", openai: "OpenAI server" };

export function directionView(direction) {
  const [from, to] = direction.split("→");
  return h("span", { className: `arrow arrow-${DIRECTIONS[direction]}` }, PARTIES[from], h("b", {}, " → "), PARTIES[to]);
}

function statusView(entry) {
  if (entry.open) return h("span", { className: "code code-open" }, entry.status ? `${entry.status} …` : "…");
  if (!entry.status) return h("span", { className: "code code-bad", title: entry.error || "" }, "none");
  const kind = entry.error ? "bad" : entry.status < 300 ? "good" : entry.status < 500 ? "warn" : "bad";
  return h("span", { className: `code code-${kind}`, title: entry.error || "" }, entry.error ? `${entry.status} ✕` : String(entry.status));
}

export function wireRow(entry) {
  return [
    h("time", {}, clockExact(entry.started_at * 1000)),
    directionView(entry.direction),
    h("span", { className: "method" }, entry.method),
    h("span", { className: "path" }, entry.note ? h("em", {}, `${entry.note} `) : null, entry.path.replace("/api/v1/accounts/1", "…")),
    statusView(entry),
    h("span", { className: "ms" }, entry.ms === null ? "" : `${entry.ms} ms`),
  ];
}

function pretty(body, headers) {
  if ((headers["content-type"] || "").includes("json")) {
    try { return JSON.stringify(JSON.parse(body), null, 2); } catch { return body; }
  }
  return body;
}

function side(title, headers, body) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  return h("div", { className: "exchange" },
    h("h3", {}, title),
    lines ? h("pre", { className: "headers" }, lines) : null,
    h("pre", { tabIndex: 0 }, body ? pretty(body, headers) : "(no body)"));
}

export function wireDetails(entry) {
  const answer = entry.error && !entry.status ? entry.error : `${entry.status ?? "…"}${entry.error ? ` — ${entry.error}` : ""}`;
  return [
    side(`${entry.method} ${entry.path}`, entry.request_headers, entry.request_body),
    side(`Answer: ${answer} (${entry.response_bytes} bytes)`, entry.response_headers, entry.response_body),
  ];
}

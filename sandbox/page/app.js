// Keeps the page's state in step with the sandbox and sends what people do.

import {
  agentMessage, attributeRow, directionView, facts, fillSelect, h, statusPill,
  typingLine, widgetMessage, wireDetails, wireRow,
} from "/page/view.js";

const $ = (id) => document.getElementById(id);
const state = { overview: null, conversation: null, selected: Number(location.pathname.match(/conversations\/(\d+)/)?.[1]) || null, starting: false, wire: new Map(), directions: new Set(), attributesDirty: false };
const WIRE_LIMIT = 400;

async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(`/_sandbox${path}`, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    toast(answer.error || answer.message || `The sandbox answered ${response.status}.`);
    throw new Error(`${method} ${path}: ${response.status}`);
  }
  return answer;
}

const act = (path, body, method = "POST") => call(method, `/conversations/${state.selected}${path}`, body).catch(() => null);

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { $("toast").hidden = true; }, 5000);
}

// Loading. Several pieces of news in one go are fetched once.

const pending = new Set();
let fetching = false;

function refresh(...what) {
  what.forEach((name) => pending.add(name));
  if (!fetching) setTimeout(load, 40);
  fetching = true;
}

async function load() {
  const wanted = new Set(pending);
  pending.clear();
  try {
    if (wanted.has("overview")) {
      state.overview = await call("GET", "/overview");
      drawOverview();
    }
    if (wanted.has("list")) {
      state.overview.conversations = (await call("GET", "/conversations")).conversations;
      drawSwitch();
    }
    if (wanted.has("wire")) {
      const { entries } = await call("GET", "/wire?brief=1");
      state.wire.clear();
      $("wire-rows").replaceChildren();
      entries.slice(-WIRE_LIMIT).forEach(upsertWire);
    }
    const known = state.overview.conversations.some((row) => row.id === state.selected);
    if (!known) select(state.starting ? null : state.overview.conversations[0]?.id ?? null);
    if (state.selected) {
      const id = state.selected;
      const conversation = await call("GET", `/conversations/${id}`);
      if (id === state.selected) { state.conversation = conversation; drawConversation(); }
    } else drawConversation();
  } catch (error) {
    console.warn(error);
  } finally {
    fetching = false;
    if (pending.size) refresh();
  }
}

function select(id) {
  if (state.selected === id) return;
  state.selected = id;
  state.conversation = null;
  state.attributesDirty = false;
  ["widget-messages", "agent-messages"].forEach((name) => { $(name).replaceChildren(); $(name).dataset.left = ""; });
}

function listen() {
  const source = new EventSource("/_sandbox/stream");
  source.onopen = () => { live(true); refresh("overview", "wire"); };
  source.onerror = () => live(false);
  source.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    if (news.type === "wire") upsertWire(news.entry);
    else if (news.type === "conversation") refresh("list");
    else if (news.type === "wire_cleared") refresh("wire");
    else if (news.type !== "closing") refresh("overview", "wire");
  };
}

function live(on) {
  $("live").textContent = on ? "live" : "sandbox not reachable";
  $("live").classList.toggle("off", !on);
}

// Drawing.

function drawOverview() {
  const { overview } = state;
  fillSelect($("dify-version"), overview.dify_versions.map((v) => [v, v]), overview.settings.dify_version);
  $("admin-link").href = `${overview.settings.bridge_url.replace(/\/$/, "")}/admin/`;
  const inboxes = overview.inboxes.map((i) => [i.id, i.name]);
  const chosen = $("start-form").elements.inbox_id;
  fillSelect(chosen, inboxes, chosen.value || inboxes[0][0]);
  const acting = $("acting-as");
  fillSelect(acting, overview.agents.map((a) => [a.id, a.name]), acting.value || 2);
  $("commands").replaceChildren(...overview.commands.map((row) => h("button", {
    type: "button", className: "command", onclick: () => sendCommand(row.command),
  }, h("code", {}, row.command), h("span", {}, row.what))));
  drawSettings();
  drawSwitch();
}

const SWITCHES = [
  ["sign_webhooks", "Sign webhooks", "off: Chatwoot before 4.13"],
  ["keep_pending_on_bot_failure", "Keep pending when the bot fails", "off: a failed webhook opens the conversation"],
  ["bot_team_bug", "Team bug", "a bot’s GET of a conversation with a team answers 500"],
  ["greeting_enabled", "Greeting", "the widget’s own first message"],
  ["email_collect_enabled", "E-mail collection", "the widget asks for an address"],
];

function drawSettings() {
  const { settings, credentials, dify_apps: apps } = state.overview;
  const change = (name, value) => call("PATCH", "/settings", { [name]: value }).catch(() => refresh("overview"));
  $("settings").replaceChildren(
    h("label", {}, "Bridge address", h("input", { type: "url", value: settings.bridge_url, onchange: (e) => change("bridge_url", e.target.value) })),
    ...SWITCHES.map(([name, title, what]) => h("label", { className: "switch" },
      h("input", { type: "checkbox", checked: settings[name], onchange: (e) => change(name, e.target.checked) }),
      h("span", {}, title, h("small", {}, what)))),
    h("label", { className: "switch" },
      h("input", { type: "checkbox", checked: sendsReceipts(), onchange: (e) => localStorage.setItem("read_receipts", e.target.checked ? "on" : "off") }),
      h("span", {}, "Read receipts from this page", h("small", {}, "the customer’s view sends message_updated"))));
  $("credentials").replaceChildren(...facts([
    ["Chatwoot", location.origin],
    ["Dify", `${location.origin}/v1`],
    ["Account", "1"],
    ["Bot token", credentials.bot_token],
    ["Admin token", credentials.admin_token],
    ["Webhook secret", credentials.webhook_secret],
    ...apps.map((app) => [`Key of ${app.mode}`, app.key]),
  ]));
}

function drawSwitch() {
  const rows = state.overview.conversations.map((c) => [c.id, `#${c.id} ${c.contact_name} · ${c.status}`]);
  if (state.starting || !rows.length) rows.unshift(["", "New conversation"]);
  fillSelect($("conversation-switch"), rows, state.starting ? "" : state.selected);
}

function drawConversation() {
  const conversation = state.conversation;
  const starting = state.starting || !state.selected;
  $("start-form").hidden = !starting;
  $("widget").hidden = starting || !conversation;
  $("agent-empty").hidden = Boolean(conversation);
  $("agent-body").hidden = !conversation;
  drawSwitch();
  if (!conversation) {
    $("agent-summary").textContent = "";
    $("agent-status").replaceChildren();
    $("status-buttons").replaceChildren();
    return;
  }
  drawMessages(conversation);
  drawAgentHead(conversation);
  drawSide(conversation);
}

function drawMessages(conversation) {
  const visible = conversation.messages.filter((m) => !m.private && m.message_type !== "activity");
  const onSubmit = (message, values) => act("/submit", { message_id: message.id, ...values });
  drawList($("widget-messages"), visible, (m) => widgetMessage(m, { onSubmit }));
  drawList($("agent-messages"), conversation.messages, agentMessage);
  const others = Object.entries(conversation.typing);
  typingLine($("widget-typing"), others.filter(([kind]) => kind !== "Contact").map(([, name]) => name));
  typingLine($("agent-typing"), others.map(([, name]) => name));
  reportSeen(visible);
}

// Keeps the nodes of messages that did not change: no flicker, no lost selection.
function drawList(box, messages, draw) {
  const known = new Map([...box.children].map((child) => [child.dataset.key, child]));
  const nodes = messages.map((message) => {
    const key = `${message.id}:${JSON.stringify(message)}`;
    const kept = known.get(key);
    if (kept) return kept;
    const made = draw(message);
    made.dataset.key = key;
    return made;
  });
  if (nodes.length !== box.children.length || nodes.some((node, i) => box.children[i] !== node)) {
    box.replaceChildren(...nodes);
    toEnd(box);
  }
}

// A list follows until somebody scrolls up in it. Pictures make it longer once they
// are loaded, so where it stands says nothing then.
function toEnd(box) {
  if (box.dataset.left !== "yes") box.scrollTop = box.scrollHeight;
}

function follow(box) {
  let top = 0;
  box.addEventListener("scroll", () => {
    if (box.scrollHeight - box.scrollTop - box.clientHeight < 80) box.dataset.left = "";
    else if (box.scrollTop < top) box.dataset.left = "yes";
    top = box.scrollTop;
  });
  // "load" does not bubble.
  box.addEventListener("load", () => toEnd(box), true);
}

// On unless switched off in this browser: a real widget sends them, too.
const sendsReceipts = () => localStorage.getItem("read_receipts") !== "off";

function reportSeen(visible) {
  const unread = visible.some((m) => m.message_type !== "incoming" && m.status === "sent");
  const looking = document.visibilityState === "visible" && !$("widget").hidden && $("widget").offsetParent;
  if (sendsReceipts() && unread && looking) act("/seen", {});
}

const MOVES = { open: [["resolved", "Resolve"], ["pending", "To the bot"], ["snoozed", "Snooze"]], pending: [["open", "Take over"], ["resolved", "Resolve"]], resolved: [["open", "Reopen"], ["pending", "To the bot"]], snoozed: [["open", "Reopen"], ["resolved", "Resolve"]] };

function drawAgentHead(conversation) {
  const inbox = `${conversation.inbox_name}${conversation.has_bot ? "" : " (no bot)"}`;
  $("agent-summary").textContent = `#${conversation.id} ${conversation.contact.name} · ${inbox}`;
  $("agent-status").replaceChildren(statusPill(conversation.status));
  $("status-buttons").replaceChildren(...MOVES[conversation.status].map(([status, text]) => h("button", {
    type: "button", className: "button small", onclick: () => act("/status", { status, agent_id: actingAs() }),
  }, text)));
}

const actingAs = () => Number($("acting-as").value);

function drawSide(conversation) {
  const { overview } = state;
  const bot = conversation.assignee_bot ? [["bot", `${conversation.assignee_bot.name} (bot)`]] : [];
  fillSelect($("assignee"), [["", "nobody"], ...bot, ...overview.agents.map((a) => [a.id, a.name])], conversation.assignee_bot ? "bot" : conversation.assignee?.id);
  fillSelect($("team"), [["", "none"], ...overview.teams.map((t) => [t.id, t.name])], conversation.team?.id);
  fillSelect($("priority"), [["", "none"], ...["low", "medium", "high", "urgent"].map((p) => [p, p])], conversation.priority);
  const titles = [...new Set([...overview.labels.map((l) => l.title), ...conversation.labels])];
  $("labels").replaceChildren(...titles.map((title) => labelChip(title, conversation)));
  if (!state.attributesDirty) drawAttributes(conversation.custom_attributes);
  const info = conversation.additional_attributes;
  $("facts").replaceChildren(...facts([
    ["Contact", `${conversation.contact.id}${conversation.contact.email ? `, ${conversation.contact.email}` : ""}`],
    ["Language", info.browser_language],
    ["Channel", conversation.channel.replace("Channel::", "")],
    ["Waiting since", conversation.waiting_since && new Date(conversation.waiting_since).toLocaleTimeString()],
    ["Unread", conversation.unread_count],
  ]));
}

function labelChip(title, conversation) {
  const on = conversation.labels.includes(title);
  const chip = h("button", { type: "button", className: "chip", ariaPressed: String(on), onclick: () => {
    const labels = on ? conversation.labels.filter((l) => l !== title) : [...conversation.labels, title];
    act("", { labels, agent_id: actingAs() }, "PATCH");
  } }, title);
  const color = state.overview.labels.find((l) => l.title === title)?.color;
  if (color) chip.style.setProperty("--chip", color);
  return chip;
}

function drawAttributes(attributes) {
  const rows = Object.entries(attributes).map(([name, value]) => attributeRow(name, value, attributesChanged));
  $("attributes").replaceChildren(...(rows.length ? rows : [h("p", { className: "hint" }, "none")]));
  $("attribute-save").hidden = true;
}

function attributesChanged() {
  state.attributesDirty = true;
  $("attribute-save").hidden = false;
}

async function saveAttributes() {
  const values = {};
  for (const row of $("attributes").querySelectorAll(".attribute")) {
    const [name, value] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
    if (name) values[name] = plainValue(value);
  }
  state.attributesDirty = false;
  await act("", { custom_attributes: values, agent_id: actingAs() }, "PATCH");
  refresh("list");
}

// Numbers, booleans and JSON stay what they are; all else is text.
function plainValue(text) {
  if (!/^(-?\d{1,15}(\.\d+)?|true|false|null|\{.*\}|\[.*\])$/.test(text)) return text;
  try { return JSON.parse(text); } catch { return text; }
}

// The wire log.

function upsertWire(entry) {
  const box = $("wire-rows");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  let row = state.wire.get(entry.id);
  if (!row) {
    row = { details: h("details", { className: "wire-row" }), entry };
    const summary = h("summary");
    const body = h("div", { className: "wire-body" });
    row.details.append(summary, body);
    row.details.addEventListener("toggle", () => { if (row.details.open) showWire(row); });
    state.wire.set(entry.id, row);
    box.append(row.details);
    if (state.wire.size > WIRE_LIMIT) {
      const [oldest] = state.wire.keys();
      state.wire.get(oldest).details.remove();
      state.wire.delete(oldest);
    }
  }
  row.entry = entry;
  row.details.firstChild.replaceChildren(...wireRow(entry));
  row.details.hidden = !wireFits(entry);
  if (row.details.open) showWire(row);
  if (atEnd) box.scrollTop = box.scrollHeight;
}

async function showWire(row) {
  const entry = await call("GET", `/wire/${row.entry.id}`).catch(() => null);
  if (entry) row.details.lastChild.replaceChildren(...wireDetails(entry));
}

function wireFits(entry) {
  const text = $("wire-text").value.toLowerCase();
  if (state.directions.size && !state.directions.has(entry.direction)) return false;
  return `${entry.method} ${entry.path} ${entry.note || ""} ${entry.status}`.toLowerCase().includes(text);
}

function filterWire() {
  for (const row of state.wire.values()) row.details.hidden = !wireFits(row.entry);
}

function drawWireFilter() {
  $("wire-filter").replaceChildren(...["chatwoot→bridge", "bridge→dify", "dify→bridge", "bridge→chatwoot"].map((direction) => h("button", {
    type: "button", className: "chip", ariaPressed: "false", onclick: (event) => {
      const on = !state.directions.delete(direction);
      if (on) state.directions.add(direction);
      event.currentTarget.setAttribute("aria-pressed", String(on));
      filterWire();
    },
  }, directionView(direction))));
}

// What people do.

async function startChat(event) {
  event.preventDefault();
  const data = Object.fromEntries(new FormData(event.target));
  const body = { name: data.name, language: data.language, inbox_id: Number(data.inbox_id), message: data.message };
  if (data.email) body.email = data.email;
  const attributes = {};
  if (data.order_number) attributes.order_number = data.order_number;
  const chosen = data.support_mode ? { support_mode: data.support_mode } : null;
  const atContact = data.support_mode_of === "contact";
  if (chosen && !atContact) Object.assign(attributes, chosen);
  if (Object.keys(attributes).length) body.custom_attributes = attributes;
  const made = await call("POST", "/conversations", body).catch(() => null);
  if (!made) return;
  // Chatwoot 4.15's widget sends a contact's attributes with a request of its own.
  if (chosen && atContact) await call("PATCH", `/conversations/${made.id}/contact`, { custom_attributes: chosen }).catch(() => null);
  state.starting = false;
  select(made.id);
  refresh("list");
  $("widget-input").focus();
}

async function say(content) {
  if (!state.selected || !content.trim()) return false;
  return Boolean(await act("/customer-messages", { content }));
}

async function sendCommand(command) {
  $("commands-drawer").close();
  if (state.selected && !state.starting) await say(command);
  else {
    $("start-form").elements.message.value = command;
    $("start-form").hidden = false;
    toast("The command is now the first message. Start the chat.");
  }
}

async function sendFile(event) {
  const [file] = event.target.files;
  event.target.value = "";
  if (!file) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  const attachment = { name: file.name, content_type: file.type || "application/octet-stream", base64: btoa(binary) };
  await act("/customer-messages", { content: $("widget-input").value || null, attachments: [attachment] });
  $("widget-input").value = "";
}

// Enter sends, Shift+Enter breaks the line; the text stays if sending failed.
function composer(form, input, send) {
  const grow = () => { input.style.height = "auto"; input.style.height = `${Math.min(input.scrollHeight + 2, 160)}px`; };
  input.addEventListener("input", grow);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value;
    if (!text.trim()) return;
    input.value = "";
    grow();
    if (!(await send(text))) { input.value = text; grow(); }
  });
}

function bind() {
  ["widget-messages", "agent-messages"].forEach((name) => follow($(name)));
  $("start-form").addEventListener("submit", startChat);
  composer($("widget-form"), $("widget-input"), say);
  composer($("agent-form"), $("agent-input"), async (content) => {
    const kind = new FormData($("agent-form")).get("kind");
    return Boolean(await act(`/${kind}`, { content, agent_id: actingAs() }));
  });
  $("agent-form").addEventListener("change", () => {
    const note = new FormData($("agent-form")).get("kind") === "note";
    $("agent-form").classList.toggle("writes-note", note);
    $("agent-input").placeholder = note ? "Only agents see this…" : "Answer as a human…";
  });
  $("widget-file").addEventListener("change", sendFile);
  $("new-conversation").addEventListener("click", () => { state.starting = true; select(null); drawConversation(); });
  $("conversation-switch").addEventListener("change", (event) => {
    state.starting = event.target.value === "";
    select(Number(event.target.value) || null);
    refresh("list");
  });
  const id = (value) => (value ? Number(value) : null);
  $("assignee").addEventListener("change", (e) => { if (e.target.value !== "bot") act("/assign", { assignee_id: id(e.target.value), agent_id: actingAs() }); });
  $("team").addEventListener("change", (e) => act("/team", { team_id: id(e.target.value), agent_id: actingAs() }));
  $("priority").addEventListener("change", (e) => act("", { priority: e.target.value || null, agent_id: actingAs() }, "PATCH"));
  $("attribute-add").addEventListener("click", () => {
    $("attributes").querySelector(".hint")?.remove();
    $("attributes").append(attributeRow("", "", attributesChanged));
    attributesChanged();
    $("attributes").lastChild.firstChild.focus();
  });
  $("attribute-save").addEventListener("click", saveAttributes);
  $("dify-version").addEventListener("change", (e) => call("PATCH", "/settings", { dify_version: e.target.value }));
  $("reset").addEventListener("click", () => { if (confirm("Forget all conversations and the wire log?")) call("POST", "/reset"); });
  $("wire-clear").addEventListener("click", () => call("DELETE", "/wire"));
  $("wire-text").addEventListener("input", filterWire);
  for (const button of document.querySelectorAll("[data-open]")) button.addEventListener("click", () => $(button.dataset.open).showModal());
  for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
  for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  for (const button of document.querySelectorAll(".tabs button")) button.addEventListener("click", () => showTab(button.dataset.tab));
  showTab("customer");
}

function showTab(tab) {
  document.body.dataset.tab = tab;
  for (const button of document.querySelectorAll(".tabs button")) button.setAttribute("aria-current", String(button.dataset.tab === tab));
  for (const name of ["widget-messages", "agent-messages", "wire-rows"]) $(name).scrollTop = $(name).scrollHeight;
}

bind();
drawWireFilter();
listen();

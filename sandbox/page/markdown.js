// A small Markdown renderer that only ever makes DOM nodes: no HTML of a message is
// parsed, so nothing a customer or a model writes can become markup or script.

const INLINE = [
  [/^`([^`]+)`/, (m) => node("code", m[1])],
  [/^\*\*([\s\S]+?)\*\*/, (m) => node("strong", ...inline(m[1]))],
  [/^~~([\s\S]+?)~~/, (m) => node("del", ...inline(m[1]))],
  [/^\*(?!\s)([^*]+?)\*/, (m) => node("em", ...inline(m[1]))],
  [/^!\[([^\]]*)\]\(([^\s)]+)\)/, (m) => link(m[2], m[1] || "image", "🖼 ")],
  [/^\[([^\]]+)\]\(([^\s)]+)\)/, (m) => link(m[2], m[1], "")],
  // What ends the sentence is no part of the address.
  [/^https?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;:!?…]/, (m) => link(m[0], m[0], "")],
];

function node(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

function link(url, text, prefix) {
  if (!/^(https?:\/\/|mailto:|\/)/i.test(url)) return document.createTextNode(`${text} (${url})`);
  const anchor = node("a", prefix + text);
  anchor.href = url;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer";
  return anchor;
}

function inline(text) {
  const parts = [];
  let plain = "";
  const flush = () => { if (plain) { parts.push(plain); plain = ""; } };
  while (text) {
    let hit = null;
    for (const [pattern, make] of INLINE) {
      const match = pattern.exec(text);
      if (match) { hit = [match, make]; break; }
    }
    if (hit) {
      flush();
      parts.push(hit[1](hit[0]));
      text = text.slice(hit[0][0].length);
    } else {
      // Jump over plain text in one step: long answers must not cost seconds.
      const next = text.slice(1).search(/[`*~![]|https?:/);
      const length = next < 0 ? text.length : next + 1;
      plain += text.slice(0, length);
      text = text.slice(length);
    }
  }
  flush();
  return parts;
}

function paragraph(lines) {
  const element = node("p");
  lines.forEach((line, index) => {
    if (index) element.append(node("br"));
    element.append(...inline(line));
  });
  return element;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((c) => c.trim());

function table(lines) {
  const head = node("tr", ...cells(lines[0]).map((c) => node("th", ...inline(c))));
  const rows = lines.slice(2).map((l) => node("tr", ...cells(l).map((c) => node("td", ...inline(c)))));
  const wrap = node("div", node("table", node("thead", head), node("tbody", ...rows)));
  wrap.className = "table-wrap";
  return wrap;
}

const BULLET = /^\s*[-*+]\s+/;
const NUMBER = /^\s*\d+[.)]\s+/;

export function markdown(text) {
  const fragment = document.createDocumentFragment();
  const lines = String(text).split("\n");
  let at = 0;
  const take = (test) => {
    const taken = [];
    while (at < lines.length && test(lines[at])) taken.push(lines[at++]);
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) { at++; continue; }
    const fence = /^\s*```/.test(line);
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (fence) {
      at++;
      const code = take((l) => !/^\s*```/.test(l));
      at++;
      fragment.append(node("pre", node("code", code.join("\n"))));
    } else if (heading) {
      at++;
      fragment.append(node(heading[1].length < 3 ? "h3" : "h4", ...inline(heading[2])));
    } else if (/^\s*\|/.test(line) && /^\s*\|?[\s:|-]+\|?\s*$/.test(lines[at + 1] || "")) {
      fragment.append(table(take((l) => /^\s*\|/.test(l))));
    } else if (/^\s*>/.test(line)) {
      const quoted = take((l) => /^\s*>/.test(l)).map((l) => l.replace(/^\s*>\s?/, ""));
      fragment.append(node("blockquote", paragraph(quoted)));
    } else if (BULLET.test(line)) {
      const items = take((l) => BULLET.test(l)).map((l) => node("li", ...inline(l.replace(BULLET, ""))));
      fragment.append(node("ul", ...items));
    } else if (NUMBER.test(line)) {
      const items = take((l) => NUMBER.test(l)).map((l) => node("li", ...inline(l.replace(NUMBER, ""))));
      fragment.append(node("ol", ...items));
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      at++;
      fragment.append(node("hr"));
    } else {
      const special = /^\s*(```|#{1,6}\s|>|\|)/;
      // The first line always goes in, whatever it looks like: the loop must move on.
      const first = lines[at++];
      const rest = take((l) => l.trim() && !special.test(l) && !BULLET.test(l) && !NUMBER.test(l));
      fragment.append(paragraph([first, ...rest]));
    }
  }
  return fragment;
}

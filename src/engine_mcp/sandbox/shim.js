// The whole surface that a script sees, and the only way in and out of its context. The worker evaluates
// this file in a fresh context and keeps the function that it gives; a script can reach neither that
// function nor anything in this closure. A script may patch every builtin object, so what guards the
// closure uses builtins captured here, and its state is strings and objects without a prototype.
(function () {
  "use strict";

  const { Error, Map, Number, Object, Promise, RangeError, Set, String, TypeError } = globalThis;
  const RealDate = globalThis.Date;
  const AsyncFunction = (async () => {}).constructor;
  const uncurry = Function.prototype.bind.bind(Function.prototype.call);
  const charCodeAt = uncurry(String.prototype.charCodeAt);
  const exec = uncurry(RegExp.prototype.exec);
  const mapForEach = uncurry(Map.prototype.forEach);
  const push = uncurry(Array.prototype.push);
  const radix = uncurry(Number.prototype.toString);
  const setForEach = uncurry(Set.prototype.forEach);
  const slice = uncurry(String.prototype.slice);
  const wellFormed = String.prototype.toWellFormed ? uncurry(String.prototype.toWellFormed) : (text) => text;
  const { defineProperty, freeze, keys } = Object;
  const { parse, stringify } = JSON;
  const { construct } = Reflect;
  const { isFinite } = Number;

  const BEYOND_ASCII = /[^\x00-\x7f]/g;
  const ARROW = /^(?:\s|\/\/.*\n|\/\*[\s\S]*?\*\/)*async\b/;
  const TYPESCRIPT = /^\s*(?:interface|type|enum)\s+\w+|[\w)]\s*\??:\s*(?:string|number|boolean|any|unknown|void)\b/m;
  const LONGEST_ARGUMENTS = 1 << 20;
  const LONGEST_NAME = 256;
  const LONGEST_LINE = 8192;
  const LONGEST_TEXT = 16384;
  const MOST_LINES = 1000;
  const MOST_LOGGED = 1 << 18;

  let outbox = "";
  let latestProgress = "";
  let finished = false;
  let calls = 0;
  let unanswered = 0;
  let sent = 0;
  let lines = 0;
  let logged = 0;
  let dropped = 0;
  let now = 0;
  let maxCalls = 0;
  let maxSent = 0;
  let maxOutput = 0;
  const pending = { __proto__: null };
  const queue = { __proto__: null };
  let head = 0;
  let tail = 0;

  // --- text that crosses the binding ----------------------------------------------------------

  // One character at a time: an expression that repeats needs memory for every repetition. What comes out
  // longer than `most` is cut short, and still too long.
  function ascii(text, most = Infinity) {
    if (text.length > most) return text;
    let out = "";
    let from = 0;
    BEYOND_ASCII.lastIndex = 0;
    for (let found; (found = exec(BEYOND_ASCII, text)) !== null; BEYOND_ASCII.lastIndex = from) {
      out += slice(text, from, found.index);
      from = found.index;
      for (let code; (code = charCodeAt(text, from)) > 127; from++) {
        out += "\\u" + slice("000" + radix(code, 16), -4);
        if (out.length > most) return out;
      }
    }
    return from === 0 ? text : out + slice(text, from);
  }

  const quote = (text) => ascii(stringify(wellFormed(text)));
  const frame = (kind, part) => `${kind}${part.length}:${part}`;
  const frame2 = (kind, a, b) => `${kind}${a.length},${b.length}:${a}${b}`;
  const frame3 = (kind, a, b, c) => `${kind}${a.length},${b.length},${c.length}:${a}${b}${c}`;

  function entries(map) {
    const pairs = [];
    mapForEach(map, (value, key) => push(pairs, [key, value]));
    return pairs;
  }

  function members(set) {
    const values = [];
    setForEach(set, (value) => push(values, value));
    return values;
  }

  function plain(value) {
    if (value === null) return null;
    if (value instanceof Map) return entries(value);
    if (value instanceof Set) return members(value);
    if (value instanceof Error) return { name: value.name, message: value.message };
    return value;
  }

  function lenient(_key, value) {
    if (typeof value === "string") return wellFormed(value);
    if (typeof value === "bigint") throw new TypeError("a BigInt has no JSON form: use String(x) or Number(x)");
    return typeof value === "object" ? plain(value) : value;
  }

  function strict(key, value) {
    if (key === "__proto__") throw new TypeError("arguments cannot have a key named __proto__");
    if (typeof value === "function" || typeof value === "symbol") {
      throw new TypeError(`arguments cannot hold a ${typeof value}: ${key}`);
    }
    if (typeof value === "number" && !isFinite(value)) {
      throw new TypeError(`arguments cannot hold ${value}: ${key}`);
    }
    return lenient(key, value);
  }

  // --- host calls -----------------------------------------------------------------------------

  class HostError extends Error {
    #host = true;
    constructor(name, message) {
      super(message);
      defineProperty(this, "name", { value: name, writable: true, configurable: true });
    }
    static isDenial(error) {
      return typeof error === "object" && error !== null && #host in error && error.name === "Denied";
    }
  }
  const { isDenial } = HostError;
  delete HostError.isDenial;

  function encodeArguments(args) {
    const text = args === undefined ? "{}" : ascii(stringify(args, strict) ?? "null", LONGEST_ARGUMENTS);
    if (text.length > LONGEST_ARGUMENTS) {
      throw new RangeError(`arguments of more than ${LONGEST_ARGUMENTS} bytes as JSON`);
    }
    return text;
  }

  function encodeName(name) {
    if (typeof name !== "string") throw new TypeError("the name of a tool is a string");
    if (name.length > LONGEST_NAME) throw new RangeError("the name of a tool is too long");
    return quote(name);
  }

  // The number is taken after the arguments are encoded: encoding runs code of the script, which may call.
  function call(name, args) {
    return new Promise((resolve, reject) => {
      const title = encodeName(name);
      const text = encodeArguments(args);
      if (calls >= maxCalls) {
        throw new HostError("CallLimit", `a script may make ${maxCalls} host calls`);
      }
      const ordinal = `${calls++}`;
      pending[ordinal] = { __proto__: null, resolve, reject, stack: new Error().stack };
      unanswered++;
      queue[tail++] = frame3("C", ordinal, title, text);
      sendQueued();
    });
  }

  function sendQueued() {
    for (; head < tail && sent < maxSent; head++, sent++) {
      outbox += queue[head];
      delete queue[head];
    }
  }

  function deliver(ordinal, ok, payload, at) {
    const waiting = pending[ordinal];
    delete pending[ordinal];
    unanswered--;
    sent--;
    sendQueued();
    if (at > now) now = at;
    let value;
    try {
      value = parse(payload);
    } catch (error) {
      waiting.reject(error);
      return;
    }
    if (ok) waiting.resolve(value);
    else waiting.reject(defineProperty(new HostError(value[0], value[1]), "stack", { value: waiting.stack }));
  }

  // --- the surface ----------------------------------------------------------------------------

  function show(value) {
    if (typeof value === "string") return value;
    if (typeof value !== "object" || value === null) return String(value);
    try {
      if (value instanceof Error) return `${value.name}: ${value.message}`;
      return stringify(value, lenient) ?? String(value);
    } catch (error) {
      return `[${error.message}]`;
    }
  }

  function log(level, values) {
    if (lines >= MOST_LINES || logged >= MOST_LOGGED) {
      dropped++;
      return;
    }
    let text = "";
    for (let i = 0; i < values.length && text.length <= LONGEST_LINE; i++) {
      text += (i ? " " : "") + slice(show(values[i]), 0, LONGEST_LINE);
    }
    const line = frame2("L", level, quote(slice(text, 0, LONGEST_LINE)));
    lines++;
    logged += line.length;
    outbox += line;
  }

  function progress(done, total, message) {
    const steps = Number(done);
    const all = total === undefined || total === null ? null : Number(total);
    if (!isFinite(steps) || (all !== null && !isFinite(all))) throw new TypeError("progress takes numbers");
    const words = slice(message === undefined ? "" : String(message), 0, 500);
    latestProgress = frame3("P", `${steps}`, all === null ? "null" : `${all}`, quote(words));
  }

  function put(target, name, value) {
    defineProperty(target, name, { value, enumerable: true, configurable: true });
  }

  function toolbox(names) {
    const root = { __proto__: null };
    for (const name of names.toSorted?.() ?? [...names].sort()) {
      const path = name.split(".");
      const last = path.pop();
      let place = root;
      for (const part of path) {
        if (!Object.hasOwn(place, part)) put(place, part, { __proto__: null });
        place = place[part];
      }
      put(place, last, (args) => call(name, args));
    }
    put(root, "call", (name, args) => call(name, args));
    put(root, "list", () => [...names]);
    return deepFreeze(root);
  }

  function deepFreeze(place) {
    for (const name of keys(place)) deepFreeze(place[name]);
    return freeze(place);
  }

  function optioned(name) {
    return (path, options) => call(name, { ...options, path });
  }

  function write(path, content, options) {
    return typeof content === "string" ? call("files.write", { ...options, path, content }) : call("files.write", { ...content, path });
  }

  function surface(input, outputs, names) {
    const level = (name) => (...values) => log(name, values);
    const globals = {
      tools: toolbox(names),
      files: freeze({ read: optioned("files.read"), list: optioned("files.list"), stat: optioned("files.stat"), write }),
      console: freeze({
        log: level("log"), info: level("info"), warn: level("warn"), error: level("error"),
        debug: level("debug"), trace: level("trace"), dir: level("log"),
      }),
      progress,
      sleep: (ms) => call("sleep", { ms }),
      HostError,
    };
    for (const name of keys(globals)) defineProperty(globalThis, name, { value: globals[name], enumerable: true });
    for (const [name, text] of [["input", input], ["outputs", outputs]]) {
      defineProperty(globalThis, name, { value: parse(text), enumerable: true, writable: true });
    }
  }

  // --- what would differ between a run and its replay ------------------------------------------

  function Date(...parts) {
    if (new.target === undefined) return new RealDate(now).toString();
    return construct(RealDate, parts.length ? parts : [now], new.target);
  }
  Date.prototype = RealDate.prototype;
  for (const name of ["UTC", "parse"]) replace(Date, name, RealDate[name]);
  replace(Date, "now", () => now);
  replace(RealDate.prototype, "constructor", Date);
  replace(globalThis, "Date", Date);

  function replace(target, name, value) {
    defineProperty(target, name, { value, writable: true, configurable: true });
  }

  // sfc32 (Chris Doty-Humphrey, PractRand, public domain), 53 bits of two draws.
  function seeded(low, high) {
    let a = low | 0, b = high | 0, c = 0x9e3779b9 | 0, count = 1;
    const draw = () => {
      const result = (((a + b) | 0) + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + result) | 0;
      return result >>> 0;
    };
    for (let i = 0; i < 12; i++) draw();
    return () => ((draw() >>> 5) * 67108864 + (draw() >>> 6)) / 9007199254740992;
  }

  // Its call sites give functions, those of this file among them.
  defineProperty(Error, "prepareStackTrace", { value: undefined, writable: false, configurable: false });
  for (const name of ["Atomics", "FinalizationRegistry", "SharedArrayBuffer", "WeakRef", "performance", "queueMicrotask"]) {
    delete globalThis[name];
  }

  // --- the run --------------------------------------------------------------------------------

  // The lines of a script start after every line of this file: whoever reads a stack can tell them apart.
  function compile(code, firstLine) {
    const above = "\n".repeat(firstLine - 3);
    if (ARROW.test(code)) {
      try {
        return new AsyncFunction(`${above.slice(1)}return (\n${code.replace(/[\s;]+$/, "")}\n)()`);
      } catch {
        // Not one function, then: a body that begins with one.
      }
    }
    try {
      return new AsyncFunction(above + code);
    } catch (error) {
      if (TYPESCRIPT.test(code)) error.message += " (a script is plain JavaScript, without types)";
      throw error;
    }
  }

  function succeed(value) {
    const text = ascii(stringify(value, lenient) ?? "null", maxOutput);
    if (text.length > maxOutput) outbox += frame("O", `${text.length}`);
    else outbox += frame("V", text);
    finished = true;
  }

  const cut = (text) => slice(typeof text === "string" ? text : String(text), 0, LONGEST_TEXT);

  function fail(error) {
    let name = "Thrown";
    let message = "";
    let stack = "";
    let denied = "";
    try {
      if (error instanceof Error) {
        name = cut(error.name);
        message = cut(error.message);
        stack = cut(error.stack);
        denied = isDenial(error) ? "denied" : "";
      } else {
        message = error === null ? "null" : cut(show(error));
      }
    } catch {
      message = message || "an error that cannot be shown";
    }
    const words = `[${quote(name)},${quote(message)},${quote(stack)}]`;
    outbox += frame2("E", words, denied);
    finished = true;
  }

  async function main(code, firstLine) {
    try {
      succeed(await compile(code, firstLine)());
    } catch (error) {
      fail(error);
    }
  }

  function start(code, input, outputs, names, options) {
    const given = parse(options);
    ({ now, maxCalls, maxSent, maxOutput } = given);
    Math.random = seeded(given.seedLow, given.seedHigh);
    surface(input, outputs, parse(names));
    main(parse(code), given.firstLine);
  }

  function drain() {
    const state = finished ? "F" : unanswered > 0 ? "W" : "I";
    const text = state + outbox + latestProgress;
    outbox = latestProgress = "";
    return slice(text, 0);
  }

  return (order, ...parts) => {
    if (order === "start") return start(parts[0], parts[1], parts[2], parts[3], parts[4]);
    if (order === "deliver") return deliver(parts[0], parts[1] === "1", parts[2], +parts[3]);
    if (order === "drain") return drain();
    return `${unanswered},${dropped}`;
  };
})();

// Scripts that mean harm. Above each stand its name, the outcomes it may have (where the engine's own
// defence has more than one way to end it, all of them), and what its value must then be.

//: escape: constructor chain -> value = "undefined"
return typeof [].constructor.constructor('return this')().process

//: escape: function this -> value = "undefined"
return typeof Function('return this')().require

//: escape: indirect eval -> value = "undefined,undefined"
return [typeof (0, eval)('globalThis').std, (0, eval)('typeof os')].join()

//: escape: async constructor -> value = "undefined"
return typeof (await (async () => {}).constructor('return this')()).fetch

//: escape: generator constructor -> value = "undefined"
return (function* () {}).constructor('yield typeof process')().next().value

//: escape: import -> js_error
return await import('os')

//: escape: import of a file -> js_error
return await import('/etc/passwd')

//: escape: static import -> js_error
import * as os from 'os'; return 1

//: escape: require -> js_error
return require('fs')

//: escape: arguments caller -> value = "undefined"
return (function () { return typeof arguments.callee.caller })()

//: escape: call sites -> value = false
Error.prepareStackTrace = (_, sites) => sites; return Array.isArray(new Error().stack)

//: escape: own capture -> value = "string"
const o = {}; Error.captureStackTrace(o); return typeof o.stack

//: escape: host error chain -> value = "undefined"
try { await tools.no() } catch (e) { return e.constructor.constructor('return typeof process')() }

//: escape: answer chain -> value = "undefined"
return (await tools.echo({})).constructor.constructor('return typeof require')()

//: escape: promise of a call -> value = true
return tools.echo({}).constructor === Promise

//: escape: date of old -> value = true
return [Object.getPrototypeOf(new Date()).constructor, Date.prototype.constructor].every((d) => d === Date)

//: escape: no clock -> value = "undefined,true"
return [typeof performance, new Date().getTime() === Date.now()].join()

//: escape: frozen tools -> value = "kept"
'use strict'; try { tools.evil = 1; return 'set' } catch { return 'kept' }

//: escape: frozen console -> value = "kept"
'use strict'; try { console.log = 1; return 'set' } catch { return 'kept' }

//: escape: undeletable -> value = "false,object"
return [delete globalThis.tools, typeof tools].join()

//: escape: body that closes itself -> value = 2
return 1 }); (function () { return 2

//: escape: closed body sees nothing -> value = "undefinedundefined"
}); globalThis.seen = typeof outbox + typeof dispatch; (function () { return seen

//: pollution: stringify -> value = {"a":1}
JSON.stringify = () => 'evil'; return await tools.echo({ a: 1 })

//: pollution: parse -> value = {"a":1}
JSON.parse = () => 'evil'; return await tools.echo({ a: 1 })

//: pollution: index setter -> value = false
let seen = ''; Object.defineProperty(Array.prototype, 0, { set(v) { seen += typeof v } }); await tools.echo({ a: 1 }); return seen.includes('string')

//: pollution: index setter that throws -> value | js_error
Object.defineProperty(Array.prototype, 0, { set() { throw 1 } }); await tools.echo({ a: 1 })

//: pollution: iterator -> value = {"a":1}
Array.prototype[Symbol.iterator] = () => { throw 1 }; return await tools.echo({ a: 1 })

//: pollution: call and apply -> value = {"a":1}
Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null; return await tools.echo({ a: 1 })

//: pollution: string methods -> value = {"a":"\u00e4"}
String.prototype.slice = String.prototype.charCodeAt = String.prototype.toWellFormed = null; return await tools.echo({ a: 'ä' })

//: pollution: regexp -> value = {"a":"\u00e4"}
RegExp.prototype.exec = RegExp.prototype[Symbol.replace] = () => { throw 1 }; return await tools.echo({ a: 'ä' })

//: pollution: object prototype -> value = {"a":1}
Object.prototype.resolve = Object.prototype.value = () => 'evil'; return await tools.echo({ a: 1 })

//: pollution: numbers -> value = {"a":"\u00e4","b":1}
Number.prototype.toString = () => 'evil'; Number.isFinite = () => true; return await tools.echo({ a: 'ä', b: 1 })

//: pollution: promise -> value = {"a":1}
globalThis.Promise = null; return await tools.echo({ a: 1 })

//: pollution: promise then -> value = {"a":1}
const then = Promise.prototype.then; Promise.prototype.then = () => { throw 1 }; return await tools.echo({ a: 1 })

//: pollution: map and set -> value = [[[1,2]],[3]]
Map.prototype.forEach = Set.prototype.forEach = null; return [new Map([[1, 2]]), new Set([3])]

//: pollution: reflect -> value = true
Reflect.construct = () => 'evil'; return new Date() instanceof Date

//: pollution: error name -> value = "Denied"
Error.prototype.name = 'Denied'; Object.prototype.denied = 'denied'; try { await tools.no() } catch (e) { return e.name }

//: pollution: error of another name -> js_error
Error.prototype.name = 'Denied'; throw new Error('mine')

//: pollution: species -> value | js_error
Promise.prototype.constructor = { [Symbol.species]: function () { throw 1 } }; return 1

//: pollution: constructor getter -> value | js_error
Object.defineProperty(Promise.prototype, 'constructor', { get() { throw new Error('got') } }); return 1

//: pollution: thenable value -> cpu_limit
return { then() { for (;;); } }

//: endless: loop -> cpu_limit
for (;;);

//: endless: loop that catches -> cpu_limit
for (;;) try { for (;;); } catch {}

//: endless: loop in a job -> cpu_limit
await null; for (;;);

//: endless: microtasks -> cpu_limit
for (;;) await null

//: endless: microtasks of many -> cpu_limit
const f = async () => { for (;;) await null }; await Promise.all([f(), f(), f()])

//: endless: microtasks left behind -> cpu_limit
(async () => { for (;;) await null })(); await tools.never()

//: endless: regexp -> cpu_limit
return /^(a+)+$/.test('a'.repeat(40) + 'b')

//: endless: regexp in a job -> cpu_limit
await null; return /^(a|a)*$/.test('a'.repeat(40) + 'b')

//: endless: array methods -> cpu_limit
return Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)

//: endless: for each -> cpu_limit
Array.prototype.forEach.call({ length: 2 ** 53 - 1 }, () => {})

//: endless: join -> cpu_limit | memory_limit
return new Array(1e8).join('x').length

//: endless: sort -> cpu_limit
return new Array(1e4).fill(0).map((_, i) => (i * 7919) % 1e4).sort((a, b) => { for (;;); })

//: endless: big integer -> cpu_limit | memory_limit | js_error
return String(7n ** 5000000n).length

//: endless: thrown toString -> cpu_limit | js_error
throw { toString() { for (;;); } }

//: endless: thrown name -> cpu_limit
throw Object.defineProperty(new Error('x'), 'name', { get() { for (;;); } })

//: endless: thrown message -> cpu_limit
throw Object.defineProperty(new Error('x'), 'message', { get() { for (;;); } })

//: endless: thrown stack -> cpu_limit
throw Object.defineProperty(new Error('x'), 'stack', { get() { for (;;); } })

//: endless: thrown proxy -> cpu_limit
throw new Proxy({}, { get() { for (;;); }, getPrototypeOf() { for (;;); } })

//: endless: error toString -> cpu_limit
Error.prototype.toString = () => { for (;;); }; for (;;);

//: endless: result toJSON -> cpu_limit
return { toJSON() { for (;;); } }

//: endless: result getter -> cpu_limit
return { get a() { for (;;); } }

//: endless: result proxy -> cpu_limit
return new Proxy({}, { ownKeys() { for (;;); } })

//: endless: argument toJSON -> cpu_limit
await tools.echo({ toJSON() { for (;;); } })

//: endless: argument getter -> cpu_limit
await tools.echo({ get a() { for (;;); } })

//: endless: console getter -> cpu_limit
console.log({ get a() { for (;;); } })

//: endless: name of a tool -> js_error
await tools.call({ toString() { for (;;); } })

//: endless: progress valueOf -> cpu_limit
progress({ valueOf() { for (;;); } })

//: endless: proxy chain -> stack | js_error | cpu_limit | memory_limit
let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); return p.x

//: endless: generator -> cpu_limit
function* g() { for (;;) yield } for (const _ of g());

//: endless: spread -> cpu_limit | memory_limit
return [...(function* () { for (;;) yield 1 })()]

//: memory: arrays -> memory_limit
let a = []; for (;;) a.push(new Array(1e5).fill(0))

//: memory: strings -> memory_limit | js_error
let s = 'x'; for (;;) s += s + Math.random()

//: memory: repeat -> memory_limit
return 'x'.repeat(2 ** 28).length

//: memory: buffer -> memory_limit | js_error
return new ArrayBuffer(2 ** 30).byteLength

//: memory: buffers -> memory_limit | js_error
let a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))

//: memory: objects -> memory_limit | cpu_limit
let o = {}; for (let i = 0; ; i++) o = { o, i }

//: memory: closures -> memory_limit | cpu_limit
let f = () => 0; for (;;) { const g = f; f = () => g; }

//: memory: bound functions -> memory_limit | cpu_limit
let f = () => 0; for (;;) f = f.bind(null, f)

//: memory: symbols -> memory_limit | cpu_limit
let a = []; for (;;) a.push(Symbol('x'.repeat(1000)))

//: memory: atoms -> memory_limit | cpu_limit
const o = {}; for (let i = 0; ; i++) o['k' + i] = i

//: memory: map -> memory_limit | cpu_limit
const m = new Map(); for (let i = 0; ; i++) m.set(i, 'x' + i)

//: memory: promises -> memory_limit | cpu_limit
let a = []; for (;;) a.push(new Promise(() => {}))

//: memory: async closures -> memory_limit | cpu_limit
let a = []; for (;;) a.push((async () => { await null; return a })())

//: memory: caught -> cpu_limit | memory_limit
let a = []; for (;;) try { a.push('x'.repeat(1e6)) } catch { a.length = a.length >> 1 }

//: memory: replace -> memory_limit | js_error | cpu_limit
let s = 'a'; for (;;) s = s.replace(/a/g, 'aaaaaaaa')

//: memory: big integers -> memory_limit | js_error | cpu_limit
let n = 2n; for (;;) n *= n

//: memory: flat -> memory_limit | cpu_limit
let a = [1, 1, 1, 1, 1, 1, 1, 1]; for (;;) a = [a, a, a, a].flat(Infinity)

//: memory: json -> memory_limit | cpu_limit
let o = {}; for (let i = 0; i < 30; i++) o = [o, o]; return JSON.stringify(o).length

//: memory: result -> memory_limit | cpu_limit
let o = 'x'; for (let i = 0; i < 40; i++) o = [o, o]; return o

//: memory: console -> cpu_limit
for (;;) console.log('x'.repeat(1e6))

//: memory: code -> memory_limit | cpu_limit | js_error | stack
return eval('1' + '+1'.repeat(2e7))

//: memory: error stacks -> memory_limit | cpu_limit
let a = []; for (;;) a.push(new Error('x'.repeat(1000)))

//: stack: recursion -> stack
function f() { f() } f()

//: stack: mutual recursion -> stack
const a = () => b(), b = () => a(); a()

//: stack: getter recursion -> stack
const o = { get a() { return this.a } }; return o.a

//: stack: toString recursion -> stack
const o = { toString() { return '' + o } }; return '' + o

//: stack: toJSON recursion -> stack
const o = { toJSON() { return JSON.stringify(o) } }; return o

//: stack: recursion caught -> value = true
let n = 0; const f = () => { n++; f() }; try { f() } catch {} return n > 100

//: stack: deep result -> stack | js_error
let o = 0; for (let i = 0; i < 1e5; i++) o = [o]; return o

//: stack: deep argument -> stack | js_error
let o = 0; for (let i = 0; i < 1e5; i++) o = [o]; await tools.echo(o)

//: stack: fairly deep result -> js_error
let o = 0; for (let i = 0; i < 1500; i++) o = [o]; return o

//: stack: deep source -> stack | js_error
return eval('('.repeat(1e5) + '1' + ')'.repeat(1e5))

//: stack: deep regexp -> stack | js_error
return new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('')

//: stack: deep json -> stack | js_error
return JSON.parse('['.repeat(1e6))

//: host: never answered -> timeout
await tools.never()

//: host: one of many never answered -> timeout
await Promise.all([tools.echo({}), tools.never()])

//: host: left behind -> value = 1
tools.never(); return 1

//: host: uncaught denial -> denied
await tools.no()

//: host: denial in all -> denied
await Promise.all([tools.echo({}), tools.no()])

//: host: denial caught -> value = "Denied"
try { await tools.no() } catch (e) { return e.name }

//: host: flood -> js_error
const a = []; for (let i = 0; i < 1e4; i++) a.push(tools.echo({ i })); await Promise.all(a)

//: host: flood caught -> value = true
let n = 0; for (let i = 0; i < 1e4; i++) tools.echo({}).catch((e) => n += e.name === 'CallLimit'); await null; await null; await null; return n > 9000

//: host: endless flood -> cpu_limit | memory_limit
for (;;) tools.echo({}).catch(() => {})

//: host: large argument -> js_error
await tools.echo('x'.repeat(2e6))

//: host: large enough argument -> value = 1000000
return (await tools.echo('x'.repeat(1e6))).length

//: host: many large arguments -> value = 6
const s = 'x'.repeat(9e5); return (await Promise.all(Array.from({ length: 6 }, () => tools.echo(s)))).length

//: host: rope argument -> value = 900000
let s = ''; for (let i = 0; i < 2000; i++) s += 'ab'.repeat(300); return (await tools.echo(s.slice(0, 9e5))).length

//: host: rope result -> value = 1800000
let s = ''; for (let i = 0; i < 1000; i++) s += 'a'.repeat(600); return s.length + (s + s).length

//: host: fairly deep argument -> js_error
let o = 0; for (let i = 0; i < 1500; i++) o = [o]; await tools.echo(o)

//: host: long name -> js_error
await tools.call('x'.repeat(1e6))

//: host: strange name -> denied
await tools.call('C1,1,1:\n\0ä')

//: host: progress flood -> value = 1
for (let i = 0; i < 1e4; i++) progress(i); return 1

//: host: console flood -> value = 1
for (let i = 0; i < 1e5; i++) console.log(i); return 1

//: host: huge result -> js_error
return 'x'.repeat(8e6)

//: host: wide result -> js_error | cpu_limit
return 'ä'.repeat(2e6)

//: host: deadlock -> js_error
await new Promise(() => {})

//: host: rejection -> js_error
await Promise.reject(undefined)

//: host: thrown null -> js_error | memory_limit
throw null

//: host: thrown symbol -> js_error
throw Symbol('x')

//: host: thrown function -> js_error
throw function () {}

//: host: bytes like a frame -> value = "Z1,1,1,1,1:00000"
console.log('Z1,1,1,1,1:00000'); return 'Z1,1,1,1,1:00000'

//: host: zeros -> value = "a\u0000b"
return await tools.echo('a\0b')

//: host: lone surrogate -> value = "\ufffd"
return await tools.echo('\ud800')

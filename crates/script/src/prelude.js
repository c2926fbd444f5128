// What a script finds beside the language itself. What reads the world (the clock, chance) says that it is not there.
((write, args, env, stdin, input) => {
  "use strict";
  const { stringify } = JSON;
  const { construct } = Reflect;
  const { defineProperty } = Object;
  const RealDate = Date;
  const RealError = Error;
  const text = String;
  const wellFormed = Function.prototype.call.bind(String.prototype.toWellFormed);
  const define = (object, name, value) =>
    defineProperty(object, name, { value, writable: true, configurable: true, enumerable: false });

  const noClock = () => {
    throw new TypeError("a script has no clock: pass a time in, such as new Date(args[0])");
  };
  // A function of its own, not a subclass: the real one must not be reachable through it.
  function SafeDate(...given) {
    if (new.target === undefined || given.length === 0) noClock();
    return construct(RealDate, given, new.target);
  }
  defineProperty(SafeDate, "name", { value: "Date" });
  defineProperty(SafeDate, "length", { value: 7 });
  defineProperty(SafeDate, "prototype", { value: RealDate.prototype, writable: false });
  define(SafeDate, "UTC", RealDate.UTC);
  define(SafeDate, "parse", RealDate.parse);
  define(SafeDate, "now", noClock);
  define(RealDate.prototype, "constructor", SafeDate);
  define(globalThis, "Date", SafeDate);
  define(Math, "random", () => {
    throw new TypeError("a script has no randomness: run again, it must give the same");
  });

  const show = (thing) => {
    if (typeof thing === "string") return thing;
    if (typeof thing === "object" && thing !== null && !(thing instanceof RealError)) {
      const shown = stringify(thing);
      if (typeof shown === "string") return shown;
    }
    return text(thing);
  };
  const line = (error) => (...things) => {
    let shown = "";
    for (let i = 0; i < things.length; i++) shown += (i > 0 ? " " : "") + show(things[i]);
    if (!write(error, wellFormed(shown + "\n"))) throw new RealError("a script prints no more than this");
  };
  const [out, err] = [line(false), line(true)];
  define(globalThis, "console", { log: out, info: out, debug: out, warn: err, error: err });
  define(globalThis, "process", { argv: ["js", "script", ...args], env });
  define(globalThis, "args", args);
  define(globalThis, "stdin", stdin);
  define(globalThis, "input", input);
})

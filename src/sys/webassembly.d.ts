/** The part of WebAssembly that vtepd uses; neither TypeScript's es2023 library nor @types/node 20 declares it. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
  }

  class Module {
    constructor(octets: Uint8Array);
  }

  class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } });
    readonly exports: object;
  }

  class CompileError extends Error {}
}

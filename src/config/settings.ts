import type { Config } from './config.ts';

/** The configuration in force: that of the start, until a reload replaces it. VNIs are as the file has them. */
export class Settings {
  #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  get config(): Config {
    return this.#config;
  }

  putInForce(config: Config): void {
    this.#config = config;
  }
}

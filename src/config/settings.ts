import type { Config } from './config.ts';

/** What was asked for and is in force: as at the start, until a reload puts another configuration in its place. VNIs are as the file has them. */
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

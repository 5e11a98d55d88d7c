/** Whether a worker uses an offload. What one path refuses is switched off for all, for good, and told once. */
export class OffloadSwitch {
  readonly #onOff: (error: number) => void;
  #isOn: boolean;

  /** @param onOff told once, with the errno that the kernel gave */
  constructor(isOn: boolean, onOff: (error: number) => void) {
    this.#isOn = isOn;
    this.#onOff = onOff;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  switchOff(error: number): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#onOff(error);
  }
}

/** Whether a worker uses an offload. If one path refuses it, it is switched off for all paths and stays off. This is reported once. */
export class OffloadSwitch {
  readonly #onOff: (error: number) => void;
  #isOn: boolean;

  /** @param onOff called once, with the errno of the kernel */
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

/** A NUL-terminated string attribute. */
export function readString(value: Buffer | undefined): string {
  return value === undefined ? '' : value.toString('utf8').replace(/\0.*$/s, '');
}

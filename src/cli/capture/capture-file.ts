import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { VtepError } from '../../lib/errors.ts';
import { wholeBlocks } from './capture-blocks.ts';

/** The file shows traffic of tenants, so only its owner can read it. */
const FILE_MODE = 0o600;

/** Not truncated until its owner is known, since a link may point to a file of another user. */
const OPEN_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;

/** A pcapng file that is being written. It always ends after a whole block. */
export class CaptureFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  #bytes = 0;
  #frames = 0;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /**
   * Overwrites an existing file of the user, which then only its owner can read. A pipe or a device is written to unchanged.
   *
   * @throws VtepError ERR_VTEP_SYSTEM; a file that is there is then as it was
   */
  static async create(path: string): Promise<CaptureFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, OPEN_FLAGS, FILE_MODE);
      const file = await handle.stat();
      if (file.isFile()) {
        if (file.uid !== process.geteuid?.()) throw notOwn(path, file.uid);
        await handle.chmod(FILE_MODE);
        await handle.truncate();
      }
      return new CaptureFile(path, handle);
    } catch (error) {
      await handle?.close().catch(() => {});
      throw error instanceof VtepError ? error : refusal(path, error as NodeJS.ErrnoException);
    }
  }

  /** @param blocks whole ones  @throws VtepError ERR_VTEP_SYSTEM; the blocks that found room are in the file then, and it is closed */
  async write(blocks: Uint8Array): Promise<void> {
    let written = 0;
    try {
      while (written < blocks.length) {
        written += (await this.#handle.write(blocks, written, blocks.length - written)).bytesWritten;
      }
    } catch (error) {
      const { bytes, frames } = wholeBlocks(blocks.subarray(0, written));
      // A pipe or a device cannot be truncated, and need not be.
      await this.#handle.truncate(this.#bytes + bytes).catch(() => {});
      await this.#handle.close().catch(() => {});
      throw refusal(this.#path, error as NodeJS.ErrnoException, this.#frames + frames);
    }
    this.#bytes += blocks.length;
    this.#frames += wholeBlocks(blocks).frames;
  }

  /** @throws VtepError ERR_VTEP_SYSTEM: some file systems report only here that they are full */
  async close(): Promise<void> {
    await this.#handle.close().catch((error: NodeJS.ErrnoException) => {
      throw refusal(this.#path, error, this.#frames);
    });
  }
}

const REFUSALS: Readonly<Record<string, readonly [cause: string, remedy: string] | undefined>> = {
  ENOSPC: ['no space left', 'free some, or name a file on another file system'],
  EDQUOT: ['the disk quota is used up', 'free some, or name a file on another file system'],
  EFBIG: ['the limit of the file size is reached', 'raise `ulimit -f`, or limit the number of frames with -c'],
  ENOENT: ['there is no such directory', 'make it, or name another file'],
  ENOTDIR: ['the part before the last / is not a directory', 'name another file'],
  EISDIR: ['it is a directory', 'name a file in it'],
  ELOOP: [
    'it is a symbolic link, which may point to a file of another user',
    'name the file itself, or - for standard output',
  ],
  EACCES: ['no permission to write there', 'name another file'],
  EROFS: ['the file system is read-only', 'name another file'],
};

/** @param frames that are in the file; undefined: there is none */
function refusal(path: string, { code = '', message }: NodeJS.ErrnoException, frames?: number): VtepError {
  const [what, remedy] = REFUSALS[code] ?? [message, undefined];
  const kept = frames === undefined ? '' : `; ${frames} ${frames === 1 ? 'frame is' : 'frames are'} in the file`;
  return new VtepError('ERR_VTEP_SYSTEM', { object: `-w ${path}`, cause: `${code}, ${what}${kept}`, remedy });
}

/** Its owner could read what is written. */
function notOwn(path: string, owner: number): VtepError {
  const cause = `the file belongs to another user (uid ${owner})`;
  return new VtepError('ERR_VTEP_SYSTEM', { object: `-w ${path}`, cause, remedy: 'remove it, or name another file' });
}

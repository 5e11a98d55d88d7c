import type { FamilyText, Sample } from './metric-family.ts';

/** Items of one slice. Formatting their samples blocks the event loop for about a millisecond. */
const SLICE_ITEMS = 500;

/** A family, the items of a page that it has samples of, and the samples of each. */
export interface Definition<Page, Item> extends FamilyText {
  readonly items: (page: Page) => readonly Item[];
  readonly samples: (item: Item) => readonly Sample[];
}

/** Hides the item type of a definition, so that all fit into one list. */
export const defineFamily = <Page, Item>({ items, samples, ...text }: Definition<Page, Item>) => ({
  text,
  /** Samples of SLICE_ITEMS items each; one slice at least. */
  *slices(page: Page): Generator<readonly Sample[], void, undefined> {
    const all = items(page);
    for (let from = 0; from === 0 || from < all.length; from += SLICE_ITEMS) {
      yield all.slice(from, from + SLICE_ITEMS).flatMap((item) => samples(item));
    }
  },
});

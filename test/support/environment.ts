const { PATH, HOME, NODE_COMPILE_CACHE, LD_PRELOAD, FAKETIME, FAKETIME_SHARED } = process.env;

/**
 * All that the children of tests inherit; `HOME` can be overwritten. Node's compile cache only makes them start
 * sooner: the same programs are started hundreds of times. Under `faketime`, they have the date of the test run.
 */
export const INHERITED = {
  ...(PATH !== undefined && { PATH }),
  ...(HOME !== undefined && { HOME }),
  ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }),
  ...(FAKETIME !== undefined &&
    LD_PRELOAD !== undefined && {
      LD_PRELOAD,
      FAKETIME,
      ...(FAKETIME_SHARED !== undefined && { FAKETIME_SHARED }),
    }),
};

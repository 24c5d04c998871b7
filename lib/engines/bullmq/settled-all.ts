/** Like `Promise.all`, but when it rejects, none of the promises is pending any more. */
export async function settledAll<Results extends readonly unknown[]>(
  promises: readonly [...{ [Index in keyof Results]: Promise<Results[Index]> }],
): Promise<Results> {
  try {
    return (await Promise.all(promises)) as unknown as Results;
  } catch (thrown) {
    await Promise.allSettled(promises);
    throw thrown;
  }
}

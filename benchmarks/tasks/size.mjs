// A task that does nothing with its argument but look at its length.

export const sizeOf = (bytes) => bytes.byteLength;

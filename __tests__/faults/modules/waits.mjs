/** Never finishes loading, and waits for it. */
await new Promise((resolve) => setInterval(() => resolve === undefined, 60_000));

export const anything = () => 'never';

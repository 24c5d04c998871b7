/**
 * The one file that Piscina loads. Piscina requires it; and a thread that is ended in the middle of requiring an ES
 * module takes the whole process down with it, on Node 20. Importing one has no such end.
 */
export async function warmUp(): Promise<void> {
  await import('./thread-entry.ts');
}

/** Never finishes loading, and keeps its thread busy with that. */
for (;;);

/** Ends its thread or process while it is loaded. */
process.exit(7);

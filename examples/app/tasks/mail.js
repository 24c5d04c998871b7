/** The welcome e-mail, sent over SMTP by nodemailer. It waits and does not compute: a task for the event loop. */
import { currentTask, defineTask } from 'express-background-tasks';
import { createTransport } from 'nodemailer';

const SECOND = 1_000;

/** @returns the task `mail(to, photoName)`, and `close()` for what the transport holds open */
export function createMailer({ port }) {
  const transport = createTransport({
    host: '127.0.0.1',
    port,
    ignoreTLS: true,
    pool: true,
    connectionTimeout: 5 * SECOND,
    socketTimeout: 10 * SECOND,
  });

  async function sendWelcome(to, photoName) {
    const { requestId } = currentTask().context;
    const { messageId } = await transport.sendMail({
      from: 'Photo album <album@example.com>',
      to,
      subject: 'Welcome to the photo album',
      text: `Hello,\n\nyour photograph "${photoName}" has arrived. Its thumbnail is made in the background.\n\nThe photo album`,
      headers: { 'X-Request-Id': requestId },
    });
    return { messageId };
  }

  return {
    // A mail server that is away for a moment is worth another attempt; an address that it refuses is not.
    mail: defineTask(sendWelcome, {
      name: 'mail',
      retry: { attempts: 3, delay: 1 * SECOND, retryIf: (error) => error.responseCode === undefined },
    }),
    close: () => transport.close(),
  };
}

/** A real SMTP server on loopback. It delivers nothing: it keeps the last mails, parsed, for the page. */
import { once } from 'node:events';
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';

const MAILS_KEPT = 100;
const LARGEST_MAIL = 256 * 1024;

/** @param onMail called with each mail that arrives */
export async function startSmtpServer(onMail) {
  const mails = [];

  async function receive(stream, session) {
    const parsed = await simpleParser(stream);
    const mail = {
      requestId: parsed.headers.get('x-request-id'),
      from: parsed.from?.text,
      to: session.envelope.rcptTo.map(({ address }) => address),
      subject: parsed.subject,
      text: parsed.text,
    };
    mails.push(mail);
    if (mails.length > MAILS_KEPT) mails.shift();
    onMail(mail);
  }

  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    size: LARGEST_MAIL,
    rejectOversized: true,
    onData: (stream, session, callback) => receive(stream, session).then(() => callback(), callback),
  });
  // A client that breaks off in the middle is no error of the server.
  server.on('error', () => {});
  const listener = server.listen(0, '127.0.0.1');
  await once(listener, 'listening');

  return {
    port: listener.address().port,
    mails,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

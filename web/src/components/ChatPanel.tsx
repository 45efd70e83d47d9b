import type { ReceivedChatMessage } from '@livekit/components-react';
import { useEffect, useRef, useState } from 'react';
import { ChatText } from './ChatText';
import { CloseIcon, SendIcon } from './icons';

interface ChatPanelProps {
  messages: ReceivedChatMessage[];
  send: (text: string) => Promise<unknown>;
  isSending: boolean;
  onClose: () => void;
}

/** Messages of one sender within this time stand under one name. */
const GROUP_WITHIN_MS = 120_000;

/** Text between all participants; nothing is kept after the call. */
export function ChatPanel({ messages, send, isSending, onClose }: ChatPanelProps) {
  const [draft, setDraft] = useState('');
  const [failed, setFailed] = useState(false);
  const end = useRef<HTMLLIElement>(null);

  useEffect(() => {
    end.current?.scrollIntoView({ block: 'end' });
  }, [messages.length]);

  const submit = async () => {
    const text = draft.trim();
    if (!text || isSending) return;
    setFailed(false);
    setDraft('');
    try {
      await send(text);
    } catch {
      setFailed(true);
      setDraft(text);
    }
  };

  return (
    <aside className="chat" aria-label="Chat" data-testid="chat" onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      <header className="chat-header">
        <h2>Chat</h2>
        <button type="button" className="icon-button" aria-label="Close chat" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      <ol className="chat-messages" aria-live="polite">
        {messages.length === 0 && <li className="chat-empty">Messages go to everyone here and are gone after the call.</li>}
        {messages.map((message, index) => (
          <Message key={message.id} message={message} continues={continues(messages[index - 1], message)} />
        ))}
        <li ref={end} aria-hidden="true" className="chat-end" />
      </ol>
      <form
        className="chat-form"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        {failed && <p className="chat-failed">Not sent. Check your connection, then try again.</p>}
        <input
          aria-label="Message"
          placeholder="Message everyone"
          data-testid="chat-input"
          value={draft}
          maxLength={2000}
          autoComplete="off"
          autoFocus
          onChange={(event) => setDraft(event.target.value)}
        />
        <button
          type="submit"
          className="icon-button chat-send"
          aria-label="Send"
          data-testid="chat-send"
          disabled={isSending || draft.trim() === ''}
        >
          <SendIcon />
        </button>
      </form>
    </aside>
  );
}

function Message({ message, continues }: { message: ReceivedChatMessage; continues: boolean }) {
  const mine = message.from?.isLocal ?? false;
  const sender = mine ? 'You' : message.from?.name || message.from?.identity || 'Someone';
  return (
    <li className="chat-message" data-mine={mine} data-continues={continues} data-testid="chat-message">
      {!continues && (
        <p className="chat-sender">
          {sender}
          <time dateTime={new Date(message.timestamp).toISOString()}>
            {new Date(message.timestamp).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}
          </time>
        </p>
      )}
      <p className="chat-text">
        <ChatText text={message.message} />
      </p>
    </li>
  );
}

function continues(before: ReceivedChatMessage | undefined, message: ReceivedChatMessage): boolean {
  return (
    before !== undefined &&
    before.from?.identity === message.from?.identity &&
    message.timestamp - before.timestamp < GROUP_WITHIN_MS
  );
}

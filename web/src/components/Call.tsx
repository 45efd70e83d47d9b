import { RoomAudioRenderer, RoomContext, useChat } from '@livekit/components-react';
import type { Room } from 'livekit-client';
import { useCallback, useRef, useState } from 'react';
import { useUnread } from '../hooks/useUnread';
import type { Choices } from '../session/choices';
import type { MeetingProblem } from '../session/problem';
import { CallHeader } from './CallHeader';
import { ChatPanel } from './ChatPanel';
import { ConnectionBanner } from './ConnectionBanner';
import { ControlBar } from './ControlBar';
import { SoundBanner } from './SoundBanner';
import { Stage } from './Stage';

interface CallProps {
  room: Room;
  roomName: string;
  /** True where a link without a token lets others in. */
  mayInvite: boolean;
  report: (problem: MeetingProblem) => void;
  remember: (change: Partial<Choices>) => void;
}

/** The call itself. */
export function Call(props: CallProps) {
  return (
    <RoomContext.Provider value={props.room}>
      <CallLayout {...props} />
    </RoomContext.Provider>
  );
}

function CallLayout({ roomName, mayInvite, report, remember }: CallProps) {
  const [chatOpen, setChatOpen] = useState(false);
  const { chatMessages, send, isSending } = useChat();
  const unread = useUnread(chatMessages.length, chatOpen);
  const chatButton = useRef<HTMLButtonElement>(null);
  const closeChat = useCallback(() => {
    setChatOpen(false);
    // What had the keyboard is gone: it goes back to where the chat was opened.
    chatButton.current?.focus();
  }, []);

  return (
    <main className="call" data-chat={chatOpen} data-testid="call">
      <CallHeader roomName={roomName} mayInvite={mayInvite} />
      <Stage />
      {chatOpen && <ChatPanel messages={chatMessages} send={send} isSending={isSending} onClose={closeChat} />}
      <ControlBar
        chatOpen={chatOpen}
        chatButton={chatButton}
        unread={unread}
        onToggleChat={() => setChatOpen((open) => !open)}
        report={report}
        remember={remember}
      />
      <div className="banners" aria-live="polite">
        <ConnectionBanner />
        <SoundBanner />
      </div>
      <RoomAudioRenderer />
    </main>
  );
}

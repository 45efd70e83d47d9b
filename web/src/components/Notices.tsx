import { useEffect } from 'react';
import type { Notice } from '../hooks/useNotices';
import { CloseIcon, WarningIcon } from './icons';

/** Long enough to read two sentences twice. */
const SHOWN_FOR_MS = 12_000;

/** Problems that come up during a call, over the page. */
export function Notices({ notices, dismiss }: { notices: Notice[]; dismiss: (id: number) => void }) {
  return (
    <div className="notices" aria-live="assertive">
      {notices.map((notice) => (
        <NoticeCard key={notice.id} notice={notice} dismiss={dismiss} />
      ))}
    </div>
  );
}

function NoticeCard({ notice, dismiss }: { notice: Notice; dismiss: (id: number) => void }) {
  const { id, problem } = notice;

  useEffect(() => {
    const timer = setTimeout(() => dismiss(id), SHOWN_FOR_MS);
    return () => clearTimeout(timer);
  }, [id, dismiss]);

  return (
    <div className="notice" data-testid="notice">
      <WarningIcon />
      <p>
        <strong>{problem.message}</strong> {problem.remedy}
      </p>
      <button type="button" className="icon-button" aria-label="Dismiss" onClick={() => dismiss(id)}>
        <CloseIcon />
      </button>
    </div>
  );
}

import { useCallback, useState } from 'react';
import type { MeetingProblem } from '../session/problem';

/** A problem on display. */
export interface Notice {
  id: number;
  problem: MeetingProblem;
}

/** More at once would cover the call; the newest are the ones that matter. */
const MOST_NOTICES = 3;

let lastId = 0;

/** The problems on display, newest last. The same problem is shown once. */
export function useNotices() {
  const [notices, setNotices] = useState<Notice[]>([]);

  const report = useCallback((problem: MeetingProblem) => {
    lastId += 1;
    const notice = { id: lastId, problem };
    setNotices((shown) =>
      [...shown.filter((other) => other.problem.message !== problem.message), notice].slice(-MOST_NOTICES),
    );
  }, []);

  const dismiss = useCallback((id: number) => {
    setNotices((shown) => shown.filter((notice) => notice.id !== id));
  }, []);

  return { notices, report, dismiss };
}

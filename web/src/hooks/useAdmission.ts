import { useEffect, useState } from 'react';
import { servesTokens, type Admission } from '../session/admission';
import type { MeetingLink } from '../session/link';

/** How one gets into a meeting here; null while the server is being asked. */
export function useAdmission(link: MeetingLink): Admission | null {
  const [answer, setAnswer] = useState<Admission | null>(null);
  const { invitation } = link;

  useEffect(() => {
    if (invitation) return;
    const abort = new AbortController();
    servesTokens(abort.signal).then(
      (open) => setAnswer({ kind: open ? 'open' : 'closed' }),
      () => {
        if (!abort.signal.aborted) setAnswer({ kind: 'closed' });
      },
    );
    return () => abort.abort();
  }, [invitation]);

  return invitation ? { kind: 'invitation', invitation } : answer;
}

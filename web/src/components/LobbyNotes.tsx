import { useEffect, useState } from 'react';
import { WarningIcon } from './icons';

/** Why there is no camera: browsers give it only to pages that came over a safe way. */
export function InsecureContext() {
  const { protocol, hostname, port } = window.location;
  const insecure = !window.isSecureContext;
  return (
    <div className="note" role="note" data-testid="insecure-notice">
      <WarningIcon />
      <div>
        <p>
          <strong>No camera or microphone here.</strong>{' '}
          {insecure
            ? 'Browsers allow them only on pages that came by https, or from this computer itself.'
            : 'This browser offers none to web pages; another browser may.'}
        </p>
        {insecure && (
          <p>
            {protocol === 'http:' && (
              <>
                Open <a href={`https://${hostname}/`}>https://{hostname}</a> if the server has a certificate
                {', '}or on the server itself <code>http://localhost{port ? `:${port}` : ''}</code>.{' '}
              </>
            )}
            You can join now to watch and listen.
          </p>
        )}
      </div>
    </div>
  );
}

/** Shown where the server lets nobody in without an invitation. */
export function ClosedDoor() {
  return (
    <div className="note" role="note" data-testid="closed-notice">
      <WarningIcon />
      <div>
        <p>
          <strong>You need an invitation.</strong> Ask the host for a link to this meeting and open it here.
        </p>
        <p>
          Hosts make one on the server: <code>plenum-sfu token --room ROOM --identity NAME --link URL</code>
        </p>
      </div>
    </div>
  );
}

/** Warns when the invitation has run out, by this computer's clock; the server has the last word. */
export function ExpiredInvitation({ expiresAt }: { expiresAt: Date }) {
  const [expired, setExpired] = useState(() => expiresAt.getTime() <= Date.now());

  useEffect(() => {
    const timer = setInterval(() => setExpired(expiresAt.getTime() <= Date.now()), 5_000);
    return () => clearInterval(timer);
  }, [expiresAt]);

  if (!expired) return null;
  return (
    <div className="note" role="note" data-testid="expired-notice">
      <WarningIcon />
      <p>
        <strong>This invitation has expired</strong> ({expiresAt.toLocaleString()}). Ask the host for a new link.
      </p>
    </div>
  );
}

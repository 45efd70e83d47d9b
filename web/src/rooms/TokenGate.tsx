import { useState, type FormEvent } from 'react';
import { Brand } from '../components/Brand';

/** Asks for a token where the link has none, or one that does not do. */
export function TokenGate({ problem, onToken }: { problem: string | null; onToken: (token: string) => void }) {
  const [text, setText] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim()) onToken(text.trim());
  };
  return (
    <div className="gate" data-testid="gate">
      <Brand />
      <h1>See the rooms of this server</h1>
      <p>
        This page needs an access token with the grant <code>roomList</code>, or <code>roomAdmin</code> for one room:
      </p>
      <code className="gate-command">plenum-sfu token --list</code>
      <form onSubmit={submit}>
        <div className="field">
          <label htmlFor="token">Access token</label>
          <input
            id="token"
            value={text}
            onChange={(event) => setText(event.target.value)}
            autoComplete="off"
            autoFocus
            spellCheck={false}
            data-testid="token-input"
          />
        </div>
        <button className="button button-primary" type="submit" disabled={!text.trim()} data-testid="token-submit">
          Show rooms
        </button>
      </form>
      {problem && (
        <p className="note-line" role="alert" data-testid="token-problem">
          {problem}
        </p>
      )}
      <p className="gate-footnote">
        It can also stand in the address, behind <code>#token=</code>, which is never sent to the server.
      </p>
    </div>
  );
}

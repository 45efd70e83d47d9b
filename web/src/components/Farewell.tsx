import { useState } from 'react';
import { joinProblem, type Ending, type MeetingProblem } from '../session/problem';
import { Brand } from './Brand';
import { ProblemNote } from './ProblemNote';

interface FarewellProps {
  ending: Ending;
  roomName: string;
  onRejoin: () => Promise<void>;
  onBack: () => void;
}

/** After the call: why it ended, and the way back in. */
export function Farewell({ ending, roomName, onRejoin, onBack }: FarewellProps) {
  const [joining, setJoining] = useState(false);
  const [problem, setProblem] = useState<MeetingProblem | null>(null);

  const rejoin = async () => {
    setJoining(true);
    setProblem(null);
    try {
      await onRejoin();
    } catch (error) {
      setProblem(joinProblem(error));
      setJoining(false);
    }
  };

  return (
    <main className="farewell" data-testid="left">
      <Brand />
      <p className="eyebrow">{roomName}</p>
      <h1>{ending.title}</h1>
      <p>{ending.text}</p>
      {problem && <ProblemNote problem={problem} />}
      <div className="farewell-actions">
        {ending.mayRejoin && (
          <button
            type="button"
            className="button button-primary"
            data-testid="rejoin"
            disabled={joining}
            autoFocus
            onClick={() => void rejoin()}
          >
            {joining ? 'Joining…' : 'Rejoin'}
          </button>
        )}
        <button type="button" className="button" data-testid="back" onClick={onBack}>
          Back to start
        </button>
      </div>
    </main>
  );
}

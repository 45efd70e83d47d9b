import type { MeetingProblem } from '../session/problem';
import { WarningIcon } from './icons';

/** A problem where it arose: what happened and what to do. */
export function ProblemNote({ problem }: { problem: MeetingProblem }) {
  return (
    <div className="note note-problem" role="alert" data-testid="problem">
      <WarningIcon />
      <p>
        <strong>{problem.message}</strong> {problem.remedy}
      </p>
    </div>
  );
}

interface PagerProps {
  page: number;
  pages: number;
  onPrevious: () => void;
  onNext: () => void;
}

/** Turns the pages of a large meeting. */
export function Pager({ page, pages, onPrevious, onNext }: PagerProps) {
  return (
    <nav className="pager" aria-label="Pages of participants">
      <button type="button" className="button button-small" disabled={page <= 1} onClick={onPrevious}>
        Previous
      </button>
      <span>
        {page} of {pages}
      </span>
      <button type="button" className="button button-small" disabled={page >= pages} onClick={onNext}>
        Next
      </button>
    </nav>
  );
}

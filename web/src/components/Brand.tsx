/** The product's mark and name. */
export function Brand() {
  return (
    <div className="brand">
      <svg className="brand-mark" viewBox="0 0 32 32" aria-hidden="true">
        <g fill="none" strokeLinecap="round" strokeWidth="3.2">
          <path className="brand-inner" d="M12.2 20.5a3.8 3.8 0 0 1 7.6 0" />
          <path className="brand-outer" d="M5.5 20.5a10.5 10.5 0 0 1 21 0" />
        </g>
        <circle className="brand-dot" cx="16" cy="22.8" r="1.9" />
      </svg>
      <span>Plenum</span>
    </div>
  );
}

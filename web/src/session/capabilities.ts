/** True where the browser lets a page use cameras and microphones at all. */
export function hasMediaDevices(): boolean {
  return typeof navigator.mediaDevices?.getUserMedia === 'function';
}

/** True where the browser can share a screen: not on phones, and not without a secure context. */
export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

const FIRST = ['amber', 'bright', 'calm', 'clear', 'golden', 'gentle', 'open', 'quiet', 'silver', 'steady', 'warm', 'wide'];
const SECOND = ['bay', 'bridge', 'forest', 'garden', 'harbor', 'hill', 'lake', 'meadow', 'orchard', 'river', 'shore', 'valley'];

/** A room name that can be said over the phone, with a number so that strangers do not meet. */
export function suggestRoomName(): string {
  const [a = 0, b = 0, c = 0] = crypto.getRandomValues(new Uint16Array(3));
  return `${FIRST[a % FIRST.length]}-${SECOND[b % SECOND.length]}-${100 + (c % 900)}`;
}

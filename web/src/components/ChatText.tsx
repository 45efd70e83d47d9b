/** A message with its web addresses as links. Only http and https: no other scheme can be smuggled in. */
export function ChatText({ text }: { text: string }) {
  return text.split(/(https?:\/\/[^\s<>"]+)/g).map((part, index) =>
    // The split puts every match of the group at an odd place.
    index % 2 === 1 ? (
      <a key={index} href={part} target="_blank" rel="noreferrer noopener">
        {part}
      </a>
    ) : (
      part
    ),
  );
}

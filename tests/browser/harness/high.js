// A publisher of H.264 in high profile. Browsers encode lower ones only, so this page says that what it sends is in high profile, and sends
// a picture that x264 encoded.

/** One key frame, 320 by 180, with CABAC and transforms of 8 by 8. */
const PICTURE =
  'AAAAAWdkABWsTCIKDPzwgAAAAwCAAAAPR4sXCMAAAAABaOhDBEsiwAAAAAFliIIN//7QIIy3BbT0Jf/+I5x5YfK6pWktfK6fBz4ws6CMuq1cnlEG7Nf/' +
  'W5kndJg4YyvpZ82CvcdjgQA1rnxv4XPyWTKlVwFcHcsQXMb6m7tCJsR5pfcMkcHoQKNkOgFoITwj3q66Ji8lyDEbxCC9XCmGBeyHu66gcXF2vT8RneZ/' +
  'sa2a5xjjG9l36G0fEYeEXXfoDJZfPxdQXDz/Tolsc+9lqFTlOWnipjJcAq8aPRX/RdPNa9MLXdm6h3iyIL/s7HSPHHSJQ1gDDKiFzpZnHtOxt9wFtv4W' +
  'qJUpCXcr9IoPYqEyAzw1/esJy68P9rOblqhI97T1nQSA7/LjkN+tBSv3S97G+OHj401mrWuhPfF3vJsKQWys55IGTffhQbu+wrdkMs1yWQIPGhp9sea4' +
  'tdnQn3uzlBc6DYdZyVQZ+4vu4VagkXEbGCuwdF8QjnTzaeSicyHoKElVgkP8FrAlKOF+Zya6z+hiEAq/CzfhcVVnit6dLXon0SkKBv7ntNQeJP6IPK8p' +
  'N0OSqwWiuGdsAV6eJkfQwBYXgFmys1uZdug1Iv5LGn+D8yWdtTor1Df4k2gCQ1zF80HI+Sg6biBsOs+hUjgeZ0gemkdPo5lRMRGakFwalZg95N0HjZzU' +
  'yqDG+KC2WEVGpFsjVcB4OjRRJcbeut+xYKWXfj2J8ccgceMqzAqAkr7Pu2fC0kBsqFuUV/CasSjwhaXx4FeBdXAmhRbe/wADbfcTVkaUMeiy7xsA/5UW' +
  'KXJfP6Plsye1xX4d2gGhqqP+hk0E2HIpzbvNjRXEFZYnSNtk/d6OB7QfRYqSuiMS9b+sUqoqrIF/mbRp+peOAsznC6fZBkC+kenmCst+7P3O/JYLlBQC' +
  'uxjXT5JEuoR+8ZONqXnLXK+M+X2W4yeux5C5aL/x26MuRNLSQDVACYiVbMXVeJthGQRrmH0RlJ66a3943C+4RTkIs0qvtidN1wfrDnZJ13+qfXBWt9rL' +
  'uhYC8+IYAUIQDy5sM7H5DaW93PATNMexx1OBTe8ErJSdCPUmyjMV4emvrOfGX4Iougo4vIhmztSHR1hA5Rk618Oc0vwQSu2GmWywisp+WnN9z7buKvS/' +
  'tK6pKAd2N3fJ0Fh1wMdzcLPnbcZ4OmAhXOcUIGiCRG7/Zkf8MyiqZUVrk4qHPwvi4xIhZ0bc3EdYOad+xNprgxaoZsjOJ3EMzKZlcIypsyKuHstqoO6I' +
  'rXoegxzqqtHmhuVrceGvUCmUdkurURRsSigH1fztqKLvbT5EPtYMpgy0EPb04FaKWcTXG9+qrKBFE1GtnXYGX/grRbOXgy6WYlUNNb0CQ2hK72lToGc9' +
  'a2E=';
/** What the browser can, and what others are told. */
const OWN = 'profile-level-id=42e01f';
const TOLD = 'profile-level-id=64001f';

/** To be called before there is any connection. */
export function sayHighProfile() {
  const connection = RTCPeerConnection.prototype;
  const { createOffer, setLocalDescription, setRemoteDescription } = connection;
  connection.createOffer = async function (...options) {
    const { type, sdp } = await createOffer.apply(this, options);
    return { type, sdp: sdp.replaceAll(OWN, TOLD) };
  };
  for (const [name, set] of Object.entries({ setLocalDescription, setRemoteDescription })) {
    connection[name] = function (description) {
      return set.call(this, description && { type: description.type, sdp: description.sdp.replaceAll(TOLD, OWN) });
    };
  }
}

/** For a sender whose every frame is to be the picture. */
export function highProfile() {
  const work = `onrtctransform = ({ transformer: { options, readable, writable } }) => {
    const transform = (frame, controller) => {
      frame.data = options.picture.slice().buffer;
      controller.enqueue(frame);
    };
    readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable);
  };`;
  const worker = new Worker(URL.createObjectURL(new Blob([work], { type: 'text/javascript' })));
  const picture = Uint8Array.from(atob(PICTURE), (letter) => letter.charCodeAt(0));
  return new RTCRtpScriptTransform(worker, { picture });
}

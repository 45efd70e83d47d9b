/** What a person picked in the lobby. */
export interface Choices {
  name: string;
  room: string;
  cameraOn: boolean;
  microphoneOn: boolean;
  /** Empty means the system's default device. */
  cameraId: string;
  microphoneId: string;
}

const STORAGE_KEY = 'plenum.choices';

const FIRST_CHOICES: Choices = {
  name: '',
  room: '',
  cameraOn: true,
  microphoneOn: true,
  cameraId: '',
  microphoneId: '',
};

/** The choices of the last visit. A browser that stores nothing gets the defaults. */
export function loadChoices(): Choices {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '{}') as Partial<Choices>;
    return { ...FIRST_CHOICES, ...stored };
  } catch {
    return FIRST_CHOICES;
  }
}

/** Keeps the choices for the next visit, except the room: that belongs to the link. */
export function saveChoices(choices: Choices): void {
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ ...choices, room: '' }));
  } catch {
    // Private windows may refuse storage; the next visit then starts from the defaults.
  }
}

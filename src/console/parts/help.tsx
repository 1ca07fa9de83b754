import { PAGES } from '../pages/pages';
import { Dialog } from './dialog';

export function Help({ onClose }: { onClose: () => void }) {
  const shortcuts = [
    ...PAGES.map(({ key, title }) => [['g', key], title] as const),
    [['/'], 'Go to the search field'] as const,
    [['?'], 'Show these shortcuts'] as const,
    [['Esc'], 'Close a dialog'] as const,
  ];
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <table class="shortcuts">
        <tbody>
          {shortcuts.map(([keys, action]) => (
            <tr key={action}>
              <th scope="row">
                {keys.map((key, i) => (
                  <span key={key}>
                    {i > 0 && ' then '}
                    <kbd>{key}</kbd>
                  </span>
                ))}
              </th>
              <td>{action}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <div class="dialog-buttons">
        <button type="button" class="primary" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

// Filters the rows of the page's tables; the choice stays in the address, so that a view can be shared.
const form = document.querySelector("form.filter");
const fields = [...form.elements].filter((field) => field.name);
const rows = [...document.querySelectorAll("tbody tr[data-implementation]")];

const apply = () => {
  const chosen = Object.fromEntries(fields.map((field) => [field.name, field.value]));
  const text = chosen.workload.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const fits =
      (!chosen.implementation || row.dataset.implementation === chosen.implementation) &&
      (!chosen.phase || row.dataset.phase === chosen.phase) &&
      (!chosen.type || row.dataset.setting === chosen.type) &&
      (!chosen.steps || row.dataset.steps.includes(chosen.steps)) &&
      row.dataset.workload.toLowerCase().includes(text);
    row.hidden = !fits;
    shown += fits;
  }
  form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
};

const read = () => {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) field.value = given.get(field.name) ?? "";
  apply();
};

form.addEventListener("input", () => {
  const given = new URLSearchParams();
  for (const field of fields) if (field.value) given.set(field.name, field.value);
  history.replaceState(null, "", `#${given}`);
  apply();
});
form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", read);
form.hidden = false;
read();

// The containers of C++, exceptions and streams among them.

#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

struct alignas(64) Line {
    int number;
};

static int deep(int depth) {
    std::string text(depth, 'x');
    if (depth == 100)
        throw std::runtime_error(text);
    return deep(depth + 1);
}

int main() {
    std::map<std::string, std::vector<int>> tree;
    std::unordered_map<int, std::shared_ptr<std::string>> table;
    for (int i = 0; i < 20000; i++) {
        tree["key " + std::to_string(i % 700)].push_back(i);
        table[i * 31] = std::make_shared<std::string>(i % 100, 'y');
        if (i % 3 == 0)
            table.erase(i / 2 * 31);
    }
    long sum = 0;
    for (auto &[key, numbers] : tree)
        sum += static_cast<long>(key.size() * numbers.size());
    for (int i = 0; i < 20000; i++)
        sum += table.count(i * 31) ? static_cast<long>(table[i * 31]->size()) : 0;
    auto lines = std::make_unique<Line[]>(1000);
    bool aligned = reinterpret_cast<std::uintptr_t>(lines.get()) % 64 == 0;
    std::ostringstream out;
    try {
        deep(0);
    } catch (const std::runtime_error &error) {
        out << "caught " << std::string(error.what()).size();
    }
    std::cout << tree.size() << ' ' << sum << ' ' << aligned << ' ' << out.str() << std::endl;
}
